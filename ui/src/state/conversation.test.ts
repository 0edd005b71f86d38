import { expect, test } from 'vitest';
import { contentOf, isCut, newAnswer, newQuestion, toMessages, type Answer, type Turn } from './conversation';

const question = (text: string): Turn => newQuestion(text, [], null);
const answer = (text: string, patch: Partial<Answer> = {}): Answer => ({
  ...newAnswer(null, null),
  text,
  state: 'done',
  ...patch,
});

test('the whole conversation goes to the model, the system prompt first', () => {
  const turns = [question('a'), answer('A'), question('b')];
  expect(toMessages(turns, ' Be brief. ')).toEqual([
    { role: 'system', content: ' Be brief. ' },
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'A' },
    { role: 'user', content: 'b' },
  ]);
  expect(toMessages(turns, '  ')).toHaveLength(3);
});

test('questions and answers stay in turn', () => {
  const turns = [
    question('never answered'),
    answer('', { state: 'failed' }),
    question('b'),
    answer('B'),
    question('damaged'),
    answer('', { state: 'damaged' }),
    question('cut'),
    answer('par', { state: 'stopped' }),
    question('c'),
  ];
  expect(toMessages(turns, '').map((message) => message.content)).toEqual(['b', 'B', 'cut', 'par', 'c']);
});

test('files come before the question, in a fence that they cannot end', () => {
  const files = [
    { name: 'a.md', text: 'text\n```js\ncode\n```\n' },
    { name: 'b.txt', text: 'plain' },
  ];
  expect(contentOf({ text: 'Sum up.', files })).toBe(
    'File a.md:\n````\ntext\n```js\ncode\n```\n````\n\nFile b.txt:\n```\nplain\n```\n\nSum up.',
  );
});

test('an answer is cut if it ended before the model ended it', () => {
  expect(isCut(answer('x', { reason: 'stop' }))).toBe(false);
  expect(isCut(answer('x', { reason: 'max_tokens' }))).toBe(true);
  expect(isCut(answer('x', { state: 'interrupted' }))).toBe(true);
  expect(isCut(answer('', { state: 'interrupted' }))).toBe(false);
  expect(isCut(answer('x', { state: 'writing' }))).toBe(false);
});
