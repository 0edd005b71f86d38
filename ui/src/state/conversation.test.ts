import { beforeEach, expect, test } from 'vitest';
import { emptyAnswer, keep, restore, toMessages, type Answer, type Turn } from './conversation';

const question = (id: number, text: string): Turn => ({ id, role: 'user', text });
const answer = (id: number, text: string, patch: Partial<Answer> = {}): Turn => ({
  ...emptyAnswer(id),
  text,
  state: 'done',
  ...patch,
});

beforeEach(() => localStorage.clear());

test('the whole conversation goes to the model, the system prompt first', () => {
  const turns = [question(1, 'a'), answer(2, 'A'), question(3, 'b'), answer(4, '', { state: 'waiting' })];
  expect(toMessages(turns, ' Be brief. ')).toEqual([
    { role: 'system', content: ' Be brief. ' },
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'A' },
    { role: 'user', content: 'b' },
  ]);
  expect(toMessages(turns.slice(0, 3), '  ')).toHaveLength(3);
});

test('questions and answers stay in turn', () => {
  const turns = [
    question(1, 'never answered'),
    answer(2, '', { state: 'failed' }),
    question(3, 'b'),
    answer(4, 'first try', { state: 'interrupted', replaced: true }),
    answer(5, 'B'),
    question(6, 'cut'),
    answer(7, 'par', { state: 'stopped' }),
    question(8, 'c'),
  ];
  expect(toMessages(turns, '').map((message) => message.content)).toEqual(['b', 'B', 'cut', 'par', 'c']);
});

test('what is kept comes back; a running answer comes back as cut off', () => {
  const turns = [question(1, 'a'), answer(2, 'half', { state: 'writing' }), question(3, 'b'), answer(4, 'B')];
  expect(keep(localStorage, { turns, draft: 'next' })).toBe(true);
  const kept = restore(localStorage);
  expect(kept.draft).toBe('next');
  expect(kept.turns[1]).toMatchObject({ text: 'half', state: 'interrupted' });
  expect(kept.turns[3]).toEqual(turns[3]);
});

test('a damaged entry hides itself, not the others', () => {
  const turns = [
    question(1, 'a'),
    7,
    null,
    { role: 'assistant', id: 2 },
    { id: 3, role: 'owner', text: 'x' },
  ];
  localStorage.setItem('moestro.conversation.1', JSON.stringify({ turns, draft: 4 }));
  expect(restore(localStorage)).toEqual({ turns: [question(1, 'a')], draft: '' });
  localStorage.setItem('moestro.conversation.1', '{"turns": [');
  expect(restore(localStorage)).toEqual({ turns: [], draft: '' });
});

test('a full store is told, not thrown', () => {
  const full = {
    setItem: () => {
      throw new DOMException('full', 'QuotaExceededError');
    },
  };
  expect(keep(full as unknown as Storage, { turns: [], draft: '' })).toBe(false);
});
