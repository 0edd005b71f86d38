// What is sent of a chat that no longer fits into the context.
import type { AtLimit } from '../bindings/AtLimit';
import type { Prompt } from '../bindings/Prompt';
import { text } from '../text';
import type { ChatMessage } from './conversation';

/** Tokens of each prompt. */
export type Count = (prompts: Prompt[]) => Promise<number[]>;

export interface Fitting {
  messages: ChatMessage[];
  /** How many of the oldest messages are left out. */
  left: number;
}

/** Tokens that a template puts around a message, at most. */
const AROUND = 32;
/** Room that is kept for an answer of unknown length. */
const ANSWER = 512;

const bytes = new TextEncoder();

export const chatPrompt = (messages: ChatMessage[]): Prompt => ({ type: 'chat', messages });

/** A token is a byte at least, so this many tokens are never passed. */
export function mostTokens(messages: readonly ChatMessage[]): number {
  return messages.reduce((sum, { content }) => sum + bytes.encode(content).length + AROUND, AROUND);
}

/** Room for the answer, of which a small context gives at most a quarter. */
export function roomFor(context: number, maxTokens: number | null): number {
  return Math.min(maxTokens ?? ANSWER, Math.floor(context / 4));
}

/**
 * The messages that are sent: all if they fit, else by the rule.
 * Rejects with what to do if they cannot.
 */
export async function fit(
  messages: ChatMessage[],
  rule: AtLimit,
  context: number,
  room: number,
  count: Count,
): Promise<Fitting> {
  if (mostTokens(messages) + room < context) return { messages, left: 0 };
  const [all = 0] = await count([chatPrompt(messages)]);
  if (all + room < context) return { messages, left: 0 };
  // Without a rule the answer gets whatever is left.
  if (rule === 'stop') {
    if (all < context) return { messages, left: 0 };
    throw text.chat.limit.full(all, context);
  }
  const system = messages[0]?.role === 'system' ? messages.slice(0, 1) : [];
  const turns = messages.slice(system.length);
  const last = turns.findLastIndex((message) => message.role === 'user');
  let first = rule === 'keep_last' ? last : await firstThatFits(turns, system, context - room, count);
  for (;;) {
    first = Math.min(nextPrompt(turns, first), last);
    const kept = [...system, ...turns.slice(first)];
    const [tokens = 0] = await count([chatPrompt(kept)]);
    if (tokens + room < context || (first === last && tokens < context))
      return { messages: kept, left: first };
    if (first >= last) throw text.chat.limit.tooLong(tokens, context);
    first += 1;
  }
}

/** Counting each message alone is nearly right; the template adds a little. */
async function firstThatFits(
  turns: ChatMessage[],
  system: ChatMessage[],
  most: number,
  count: Count,
): Promise<number> {
  const tokens = await count([...system, ...turns].map(({ content }) => ({ type: 'raw', text: content })));
  let sum = system.length > 0 ? (tokens[0] ?? 0) : 0;
  let first = turns.length;
  while (first > 0) {
    sum += tokens[system.length + first - 1] ?? 0;
    if (sum >= most) break;
    first -= 1;
  }
  return first;
}

/** Templates want the first message to be a prompt. */
function nextPrompt(turns: ChatMessage[], from: number): number {
  const index = turns.findIndex((message, at) => at >= from && message.role === 'user');
  return index < 0 ? turns.length : index;
}
