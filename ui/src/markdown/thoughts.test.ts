import { expect, test } from 'vitest';
import { split } from './thoughts';

test('thoughts are set apart from the answer', () => {
  expect(split('<think>\nHm.\n</think>\n\nFour.')).toEqual({
    thoughts: 'Hm.',
    answer: 'Four.',
    thinking: false,
  });
  expect(split('Four.')).toEqual({ thoughts: null, answer: 'Four.', thinking: false });
  expect(split('<think>\n\n</think>\n\nFour.')).toEqual({ thoughts: null, answer: 'Four.', thinking: false });
  expect(split('The tag <think> is text here.').thoughts).toBeNull();
});

test('while they stream in, no part of a mark is shown', () => {
  const whole = '<think>\nHm, 2 < 3 and so.\n</think>\n\nFour <b>.';
  for (let end = 1; end <= whole.length; end += 1) {
    const { thoughts, answer } = split(whole.slice(0, end));
    expect(`${thoughts ?? ''}|${answer}`).not.toMatch(/<\/?think|<\/?t/);
    if (end < 8) expect(answer).toBe('');
  }
  expect(split('<think>\nHm').thinking).toBe(true);
});
