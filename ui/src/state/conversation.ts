import type { AttachedFile } from '../bindings/AttachedFile';
import type { End } from '../bindings/End';
import type { Figures } from '../bindings/Figures';
import type { FinishReason } from '../bindings/FinishReason';
import type { GenerationStats } from '../bindings/GenerationStats';
import type { Message } from '../bindings/Message';

interface TurnBase {
  /** Stays the same while the turn is shown. */
  key: number;
  /** Of the kept message; null until it is kept. */
  id: number | null;
  parent: number | null;
  /** All messages with the same parent, this one included. */
  siblings: number[];
  text: string;
}

export interface Question extends TurnBase {
  role: 'user';
  files: AttachedFile[];
}

/** `interrupted`: the engine or the window went away in the middle. */
export type AnswerState =
  'waiting' | 'reading' | 'writing' | 'done' | 'stopped' | 'interrupted' | 'failed' | 'damaged';

export interface Prefill {
  done: number;
  total: number;
  reused: number;
}

export interface Answer extends TurnBase {
  role: 'assistant';
  state: AnswerState;
  prefill: Prefill | null;
  /** Tokens so far and their speed, until `figures` tells the final ones. */
  tokens: number;
  tokensPerSecond: number | null;
  figures: Figures | null;
  reason: End | null;
  failure: string | null;
  /** Name of the model that wrote it. */
  model: string | null;
}

export type Turn = Question | Answer;

// Turns that are not kept yet have keys that no kept one has.
let lastKey = 0;

export function newQuestion(text: string, files: AttachedFile[], parent: number | null): Question {
  lastKey -= 1;
  return { key: lastKey, id: null, parent, siblings: [], role: 'user', text, files };
}

export function newAnswer(parent: number | null, model: string | null): Answer {
  lastKey -= 1;
  return {
    key: lastKey,
    id: null,
    parent,
    siblings: [],
    role: 'assistant',
    text: '',
    state: 'waiting',
    prefill: null,
    tokens: 0,
    tokensPerSecond: null,
    figures: null,
    reason: null,
    failure: null,
    model,
  };
}

/** A kept message as it is shown. Nobody in this window writes it. */
export function toTurn(message: Message): Turn {
  const { id, parent, siblings, text, details } = message;
  if (message.role === 'user') {
    return { key: id, id, parent, siblings, role: 'user', text, files: details.files ?? [] };
  }
  return {
    ...newAnswer(parent, details.model ?? null),
    key: id,
    id,
    siblings,
    text,
    state: message.state === 'writing' ? 'interrupted' : message.state,
    figures: details.figures ?? null,
    reason: details.end ?? null,
    failure: details.failure ?? null,
  };
}

export function isRunning(answer: Answer): boolean {
  return answer.state === 'waiting' || answer.state === 'reading' || answer.state === 'writing';
}

/** Did the answer end before the model ended it? */
export function isCut(answer: Answer): boolean {
  if (answer.text === '') return false;
  if (answer.state === 'done') return answer.reason === 'max_tokens' || answer.reason === 'context_full';
  return answer.state === 'stopped' || answer.state === 'interrupted' || answer.state === 'failed';
}

export function endOf(reason: FinishReason): End | null {
  return reason === 'cancelled' ? null : reason;
}

/** What is kept of an answer's figures. `before` are those of the part that is continued. */
export function figuresOf(stats: GenerationStats, before: Figures | null): Figures {
  return {
    prompt_tokens: stats.prompt_tokens,
    reused_tokens: stats.reused_tokens,
    generated_tokens: stats.generated_tokens + (before?.generated_tokens ?? 0),
    first_token_ms: before?.first_token_ms ?? stats.first_token_ms,
    tokens_per_second: stats.decode_tokens_per_second,
    hit_rate: stats.hit_rate,
    seed: stats.seed,
  };
}

export interface ChatMessage {
  role: string;
  content: string;
}

/** A prompt as the model reads it: its files first, each behind its name. */
export function contentOf(question: Pick<Question, 'text' | 'files'>): string {
  const files = question.files.map((file) => {
    const longest = Math.max(2, ...[...file.text.matchAll(/`+/g)].map((run) => run[0].length));
    const fence = '`'.repeat(longest + 1);
    return `File ${file.name}:\n${fence}\n${file.text.replace(/\n$/, '')}\n${fence}\n\n`;
  });
  return files.join('') + question.text;
}

/**
 * The messages the model sees. A question whose answer never got a word is left
 * out with it: chat templates want questions and answers in turn.
 */
export function toMessages(turns: readonly Turn[], system: string): ChatMessage[] {
  const messages: ChatMessage[] = [];
  if (system.trim() !== '') messages.push({ role: 'system', content: system });
  turns.forEach((turn, index) => {
    const next = turns[index + 1];
    if (turn.role === 'user') {
      const answered = next === undefined || (next.role === 'assistant' && next.text !== '');
      if (answered) messages.push({ role: 'user', content: contentOf(turn) });
    } else if (turn.text !== '') {
      messages.push({ role: 'assistant', content: turn.text });
    }
  });
  return messages;
}
