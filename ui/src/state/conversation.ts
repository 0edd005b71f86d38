import type { FinishReason } from '../bindings/FinishReason';
import type { GenerationStats } from '../bindings/GenerationStats';

export interface Question {
  id: number;
  role: 'user';
  text: string;
}

/** `interrupted`: the engine or the window went away in the middle. */
export type AnswerState = 'waiting' | 'reading' | 'writing' | 'done' | 'stopped' | 'interrupted' | 'failed';

export interface Prefill {
  done: number;
  total: number;
  reused: number;
}

export interface Answer {
  id: number;
  role: 'assistant';
  text: string;
  state: AnswerState;
  prefill: Prefill | null;
  /** Tokens so far and their speed, until `stats` tells the final figures. */
  tokens: number;
  tokensPerSecond: number | null;
  stats: GenerationStats | null;
  reason: FinishReason | null;
  failure: string | null;
  /** A later attempt at the same question took its place in the conversation. */
  replaced: boolean;
}

export type Turn = Question | Answer;

export function emptyAnswer(id: number): Answer {
  return {
    id,
    role: 'assistant',
    text: '',
    state: 'waiting',
    prefill: null,
    tokens: 0,
    tokensPerSecond: null,
    stats: null,
    reason: null,
    failure: null,
    replaced: false,
  };
}

export function isRunning(answer: Answer): boolean {
  return answer.state === 'waiting' || answer.state === 'reading' || answer.state === 'writing';
}

export interface ChatMessage {
  role: string;
  content: string;
}

/**
 * The messages the model sees. A question whose answer never got a word is left
 * out with it: chat templates want questions and answers in turn.
 */
export function toMessages(turns: Turn[], system: string): ChatMessage[] {
  const messages: ChatMessage[] = [];
  if (system.trim() !== '') messages.push({ role: 'system', content: system });
  const shown = turns.filter((turn) => turn.role === 'user' || !turn.replaced);
  shown.forEach((turn, index) => {
    const next = shown[index + 1];
    if (turn.role === 'user') {
      const answered =
        next === undefined || (next.role === 'assistant' && (next.text !== '' || isRunning(next)));
      if (answered) messages.push({ role: 'user', content: turn.text });
    } else if (turn.text !== '') {
      messages.push({ role: 'assistant', content: turn.text });
    }
  });
  return messages;
}

const KEY = 'moestro.conversation.1';

interface Kept {
  turns: Turn[];
  draft: string;
}

export function keep(storage: Storage, kept: Kept): boolean {
  try {
    storage.setItem(KEY, JSON.stringify(kept));
    return true;
  } catch {
    return false;
  }
}

const states: readonly string[] = [
  'waiting',
  'reading',
  'writing',
  'done',
  'stopped',
  'interrupted',
  'failed',
];

function restoreTurn(value: unknown): Turn | null {
  if (typeof value !== 'object' || value === null) return null;
  const turn = value as Record<string, unknown>;
  if (typeof turn['id'] !== 'number' || typeof turn['text'] !== 'string') return null;
  if (turn['role'] === 'user') return { id: turn['id'], role: 'user', text: turn['text'] };
  if (turn['role'] !== 'assistant' || !states.includes(String(turn['state']))) return null;
  const answer = { ...emptyAnswer(turn['id']), ...(turn as Partial<Answer>) };
  if (isRunning(answer)) answer.state = 'interrupted';
  return answer;
}

/** What the last window left; a damaged entry hides itself, not the others. */
export function restore(storage: Storage): Kept {
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? '{}') as { turns?: unknown; draft?: unknown };
    const turns = Array.isArray(kept.turns) ? kept.turns.map(restoreTurn) : [];
    return {
      turns: turns.filter((turn) => turn !== null),
      draft: typeof kept.draft === 'string' ? kept.draft : '',
    };
  } catch {
    return { turns: [], draft: '' };
  }
}
