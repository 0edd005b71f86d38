import { expect, test, vi } from 'vitest';
import type { Prompt } from '../bindings/Prompt';
import type { ChatMessage } from './conversation';
import { fit, mostTokens, roomFor } from './limit';

/** A token for each character, and four around each message. */
const count = vi.fn(async (prompts: Prompt[]) =>
  prompts.map((prompt) => {
    if (prompt.type === 'raw') return prompt.text.length;
    if (prompt.type !== 'chat') return 0;
    return prompt.messages.reduce((sum, message) => sum + message.content.length + 4, 0);
  }),
);

const system = { role: 'system', content: 's'.repeat(20) };
const turns = (...lengths: number[]): ChatMessage[] =>
  lengths.map((length, index) => ({
    role: index % 2 === 0 ? 'user' : 'assistant',
    content: 'x'.repeat(length),
  }));

test('what surely fits is sent without counting', async () => {
  const messages = [system, ...turns(10, 10, 10)];
  expect(mostTokens(messages)).toBeGreaterThan(50 + 12);
  expect(await fit(messages, 'stop', 1000, 100, count)).toEqual({ messages, left: 0 });
  expect(count).not.toHaveBeenCalled();
  expect(await fit(messages, 'keep_last', 170, 100, count)).toEqual({ messages, left: 0 });
  expect(count).toHaveBeenCalledTimes(1);
});

test('without a rule it is sent as long as it fits at all, then the person is told', async () => {
  const messages = turns(300, 300, 300);
  expect((await fit(messages, 'stop', 1000, 200, count)).left).toBe(0);
  await expect(fit(messages, 'stop', 900, 200, count)).rejects.toContain('912 tokens');
});

test('the oldest are left out in whole turns, the system prompt and the last never', async () => {
  const messages = [system, ...turns(300, 300, 300, 300, 100)];
  const { messages: sent, left } = await fit(messages, 'drop_oldest', 1000, 100, count);
  expect(left).toBe(2);
  expect(sent).toEqual([system, ...messages.slice(3)]);
  const tight = await fit(messages, 'drop_oldest', 300, 100, count);
  expect(tight.messages).toEqual([system, messages[5]]);
});

test('only the last prompt is kept, with the beginning of its answer if there is one', async () => {
  const messages = [system, ...turns(300, 300, 300, 300, 100)];
  const { messages: sent, left } = await fit(messages, 'keep_last', 1000, 100, count);
  expect([sent, left]).toEqual([[system, messages[5]], 4]);
  const begun = [...messages, { role: 'assistant', content: 'The beg' }];
  const going = await fit(begun, 'keep_last', 1000, 100, count);
  expect(going.messages).toEqual([system, begun[5], begun[6]]);
});

test('a last prompt that is too long alone is told', async () => {
  await expect(fit(turns(10, 10, 2000), 'drop_oldest', 1000, 100, count)).rejects.toContain('2,004 tokens');
  await expect(fit(turns(2000), 'keep_last', 1000, 100, count)).rejects.toContain('context holds 1,000');
});

test('the room for the answer is what was asked for, and at most a quarter', () => {
  expect(roomFor(10_000, null)).toBe(512);
  expect(roomFor(10_000, 64)).toBe(64);
  expect(roomFor(1000, null)).toBe(250);
});
