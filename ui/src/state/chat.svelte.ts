import type { DesktopEvent } from '../bindings/DesktopEvent';
import type { Event } from '../bindings/Event';
import { nextFrame } from '../frame';
import { sentence } from '../sentence';
import { emptyAnswer, isRunning, keep, restore, toMessages, type Answer, type Turn } from './conversation';
import type { EngineState } from './engine.svelte';
import type { SettingsState } from './settings.svelte';
import { Trailing } from './trailing';

/** At most this much of a running answer is lost with the window. */
const KEEP_EVERY_MS = 1000;

/** One conversation and the answer that is being written. */
export class ChatState {
  turns = $state<Turn[]>([]);
  draft = $state('');
  /** The conversation could not be kept on disk (the store is full). */
  notKept = $state(false);

  readonly #engine: EngineState;
  readonly #settings: SettingsState;
  readonly #storage: Storage;
  readonly #keep = new Trailing(KEEP_EVERY_MS, () => this.keepNow());
  #id: number | null = null;
  // Tokens wait here for the next frame: the page is drawn at most once per frame.
  #arrived = '';
  #tokens = 0;
  #firstToken = 0;
  #cancelFrame: (() => void) | null = null;

  constructor(engine: EngineState, settings: SettingsState, storage: Storage) {
    this.#engine = engine;
    this.#settings = settings;
    this.#storage = storage;
    const kept = restore(storage);
    this.turns = kept.turns;
    this.draft = kept.draft;
  }

  readonly last = $derived(this.turns.at(-1));
  readonly generating = $derived(this.last?.role === 'assistant' && isRunning(this.last));

  async ask(text: string): Promise<void> {
    const question = text.trim();
    if (question === '' || this.generating) return;
    this.turns.push({ id: this.#engine.nextId(), role: 'user', text: question });
    this.draft = '';
    await this.#answer();
  }

  /** Asks the last question once more. A partial answer stays in view. */
  async retry(): Promise<void> {
    const last = this.last;
    if (last?.role !== 'assistant' || this.generating) return;
    if (last.text === '') this.turns.pop();
    else last.replaced = true;
    await this.#answer();
  }

  async #answer(): Promise<void> {
    const id = this.#engine.nextId();
    const messages = toMessages(this.turns, this.#settings.value.system_prompt);
    this.turns.push(emptyAnswer(id));
    this.#id = id;
    this.#arrived = '';
    this.#tokens = 0;
    this.keepNow();
    const request = {
      prompt: { type: 'chat' as const, messages },
      sampling: $state.snapshot(this.#settings.value.sampling),
      max_tokens: this.#settings.value.max_tokens,
      stop: [],
    };
    try {
      await this.#engine.send({ type: 'generate', id, request });
    } catch (error) {
      this.#end(id, { state: 'failed', failure: sentence(error) });
    }
  }

  async stop(): Promise<void> {
    if (this.#id !== null) await this.#engine.trySend({ type: 'cancel', id: this.#id });
  }

  async clear(): Promise<void> {
    const stopped = this.stop();
    this.#flush();
    this.#id = null;
    this.turns = [];
    this.keepNow();
    await stopped;
  }

  setDraft(text: string): void {
    this.draft = text;
    this.#keep.call();
  }

  keepNow(): void {
    this.#keep.cancel();
    this.notKept = !keep(this.#storage, { turns: $state.snapshot(this.turns), draft: this.draft });
  }

  receive(event: DesktopEvent): void {
    if (event.type === 'engine_exited') {
      if (this.#id !== null) this.#end(this.#id, { state: 'interrupted', failure: event.message });
    } else if (event.type === 'engine') {
      this.#receive(event.event);
    }
  }

  #receive(event: Event): void {
    switch (event.type) {
      case 'prefill_progress': {
        const answer = this.#running(event.id);
        if (answer?.state === 'waiting') answer.state = 'reading';
        if (answer) answer.prefill = { done: event.done, total: event.total, reused: event.reused };
        break;
      }
      case 'token':
        if (event.id === this.#id) this.#token(event.text, event.tokens);
        break;
      case 'finished': {
        const state = event.reason === 'cancelled' ? 'stopped' : 'done';
        this.#end(event.id, { state, reason: event.reason, stats: event.stats });
        break;
      }
      case 'failed':
        if (event.id === null || event.id !== this.#id) break;
        if (event.failure.kind === 'cancelled')
          this.#end(event.id, { state: 'stopped', reason: 'cancelled' });
        else this.#end(event.id, { state: 'failed', failure: event.failure.message });
    }
  }

  #running(id: number): Answer | null {
    const last = this.last;
    return id === this.#id && last?.role === 'assistant' && last.id === id ? last : null;
  }

  #token(text: string, tokens: number): void {
    if (this.#tokens === 0) this.#firstToken = performance.now();
    this.#arrived += text;
    this.#tokens = tokens;
    this.#cancelFrame ??= nextFrame(() => this.#flush());
  }

  #flush(): void {
    this.#cancelFrame?.();
    this.#cancelFrame = null;
    const answer = this.#id === null ? null : this.#running(this.#id);
    if (!answer || this.#tokens === 0) return;
    answer.state = 'writing';
    answer.text += this.#arrived;
    answer.tokens = this.#tokens;
    const seconds = (performance.now() - this.#firstToken) / 1000;
    if (seconds > 0.3) answer.tokensPerSecond = (this.#tokens - 1) / seconds;
    this.#arrived = '';
    this.#keep.call();
  }

  #end(id: number, outcome: Partial<Answer>): void {
    const answer = this.#running(id);
    if (!answer) return;
    this.#flush();
    Object.assign(answer, outcome, { prefill: null });
    this.#id = null;
    this.keepNow();
  }
}
