import { SvelteMap } from 'svelte/reactivity';
import type { AttachedFile } from '../bindings/AttachedFile';
import type { Chat } from '../bindings/Chat';
import type { ChatEntry } from '../bindings/ChatEntry';
import type { ChatSettings } from '../bindings/ChatSettings';
import type { DesktopEvent } from '../bindings/DesktopEvent';
import type { Event } from '../bindings/Event';
import type { Turn as Wanted } from '../bindings/Turn';
import type { ChatsApi } from '../chat/api';
import { nextFrame } from '../frame';
import { sentence } from '../sentence';
import { freshChatSettings, requestFor } from './chatSettings';
import {
  endOf,
  figuresOf,
  isRunning,
  newAnswer,
  newQuestion,
  toMessages,
  toTurn,
  type Answer,
  type ChatMessage,
  type Turn,
} from './conversation';
import type { EngineState } from './engine.svelte';
import type { Fitting } from './limit';
import type { SettingsState } from './settings.svelte';
import { Trailing } from './trailing';

/** At most this much typing is lost with the window. */
const KEEP_DRAFT_MS = 500;
/** Drawing text takes longer than a frame; between two times there are frames for the rest. */
const DRAW_MS = 40;

/** An answer that the engine writes, in whichever chat. */
interface Running {
  chat: number;
  answer: Answer;
  // Tokens wait here until text is drawn again.
  arrived: string;
  tokens: number;
  before: number;
  firstToken: number;
}

/** What the window needs besides chats to ask for an answer. */
export interface Asking {
  /** Name of the loaded model. */
  model: () => string | null;
  /** What is sent of the messages, by the chat's rule; rejects with why nothing is. */
  fit: (messages: ChatMessage[], settings: ChatSettings) => Promise<Fitting>;
  /** A chat was begun or has changed. */
  changed: () => void;
}

/** The chat that is shown, and the answers that are being written. */
export class ChatState {
  /** Null until the chats are open. */
  entry = $state.raw<ChatEntry | null>(null);
  turns = $state<Turn[]>([]);
  /** Rises when a chat or another branch of it is shown. */
  shown = $state(0);
  draft = $state('');
  files = $state<AttachedFile[]>([]);
  settings = $state<ChatSettings>(freshChatSettings());
  /** Why the last thing the person wanted did not happen. */
  failure = $state<string | null>(null);
  /** How many of the oldest messages the last answer was written without. */
  left = $state(0);
  /** The message to look at, after a search. */
  target = $state<number | null>(null);

  readonly #engine: EngineState;
  readonly #settings: SettingsState;
  readonly #chats: ChatsApi;
  readonly #asking: Asking;
  readonly #keepDraft = new Trailing(KEEP_DRAFT_MS, () => void this.#saveDraft());
  readonly #keepSettings = new Trailing(KEEP_DRAFT_MS, () => void this.#saveSettings());
  readonly #running = new SvelteMap<number, Running>();
  #cancelFrame: (() => void) | null = null;
  #drawn = -DRAW_MS;
  #opening = 0;

  constructor(engine: EngineState, settings: SettingsState, chats: ChatsApi, asking: Asking) {
    this.#engine = engine;
    this.#settings = settings;
    this.#chats = chats;
    this.#asking = asking;
  }

  readonly last = $derived(this.turns.at(-1));
  /** Is an answer written in the chat that is shown? */
  readonly generating = $derived.by(() => {
    const chat = this.entry?.id;
    return [...this.#running.values()].some((running) => running.chat === chat);
  });
  /** Chats in which an answer is written. */
  readonly busy = $derived([...this.#running.values()].map((running) => running.chat));

  /** Shows a chat: with null the one that was open last. */
  open(chat: number | null): Promise<void> {
    return this.#show(() => this.#chats.open(chat));
  }

  /** Shows the branch that goes through a message. */
  branch(message: number): Promise<void> {
    return this.#show(() => this.#chats.branch(message));
  }

  /** The same, to look at that message. */
  lookAt(message: number): Promise<void> {
    return this.#show(() => this.#chats.branch(message), message);
  }

  /** Shows an empty chat; an answer that is being written goes on. */
  newChat(): Promise<void> {
    return this.#show(() => this.#chats.create());
  }

  /** The list knows a newer title. */
  rename(entry: ChatEntry): void {
    if (this.entry?.id === entry.id) this.entry = entry;
  }

  async #show(open: () => Promise<Chat>, target: number | null = null): Promise<void> {
    this.keepNow();
    this.#opening += 1;
    const opening = this.#opening;
    try {
      const chat = await open();
      if (opening !== this.#opening) return;
      if (chat.entry.id !== this.entry?.id) {
        this.files = [];
        this.left = 0;
      }
      this.shown += 1;
      this.target = target;
      this.entry = chat.entry;
      this.draft = chat.draft;
      this.settings = chat.settings;
      this.turns = chat.path.map((message) => this.#live(message.id) ?? toTurn(message));
      this.failure = null;
    } catch (error) {
      if (opening === this.#opening) this.failure = sentence(error);
    }
  }

  #live(message: number): Answer | undefined {
    return [...this.#running.values()].find((running) => running.answer.id === message)?.answer;
  }

  async ask(text: string): Promise<void> {
    const question = text.trim();
    if (question === '' && this.files.length === 0) return;
    await this.#askAfter(this.turns, question, $state.snapshot(this.files));
  }

  /** Asks `text` in place of a question; the other one stays beside it. */
  async edit(key: number, text: string): Promise<void> {
    const index = this.turns.findIndex((turn) => turn.key === key);
    const turn = this.turns[index];
    if (turn?.role !== 'user' || text.trim() === '') return;
    await this.#askAfter(this.turns.slice(0, index), text.trim(), $state.snapshot(turn.files));
  }

  async #askAfter(before: Turn[], text: string, files: AttachedFile[]): Promise<void> {
    const parent = before.at(-1)?.id ?? null;
    const question = newQuestion(text, files, parent);
    await this.#answer([...before, question], { type: 'ask', parent, text, files });
  }

  /** Another answer to the same question; the other one stays beside it. */
  async again(key: number): Promise<void> {
    const index = this.turns.findIndex((turn) => turn.key === key);
    const prompt = this.turns[index - 1];
    if (prompt?.role !== 'user' || prompt.id === null) return;
    await this.#answer(this.turns.slice(0, index), { type: 'again', prompt: prompt.id });
  }

  /** The rest of an answer that ended too early. */
  async resume(key: number): Promise<void> {
    const index = this.turns.findIndex((turn) => turn.key === key);
    const answer = this.turns[index];
    if (answer?.role !== 'assistant' || answer.id === null || isRunning(answer)) return;
    await this.#answer(this.turns.slice(0, index + 1), { type: 'continue', answer: answer.id });
  }

  async #answer(turns: Turn[], wanted: Wanted): Promise<void> {
    const chat = this.entry?.id;
    if (chat === undefined || this.generating) return;
    const before = { turns: this.turns, draft: this.draft, files: this.files };
    const id = this.#engine.nextId();
    const system = this.settings.system_prompt ?? this.#settings.value.system_prompt;
    const messages = toMessages(turns, system);
    const model = this.#asking.model();
    const continued = wanted.type === 'continue' ? turns.at(-1) : undefined;
    // Made reactive here: the same object is shown and written to.
    const answer = $state(
      continued?.role === 'assistant' ? continued : newAnswer(turns.at(-1)?.id ?? null, model),
    );
    const outcome = $state.snapshot(answer);
    Object.assign(answer, {
      state: 'waiting',
      failure: null,
      reason: null,
      tokens: 0,
      tokensPerSecond: null,
    });
    this.failure = null;
    this.turns = continued ? turns : [...turns, answer];
    if (wanted.type === 'ask') {
      this.draft = '';
      this.files = [];
      this.#keepDraft.cancel();
    }
    const running: Running = { chat, answer, arrived: '', tokens: 0, firstToken: 0, before: 0 };
    running.before = outcome.figures?.generated_tokens ?? 0;
    this.#running.set(id, running);
    try {
      const settings = $state.snapshot(this.settings);
      const fitting = await this.#asking.fit(messages, settings);
      this.left = fitting.left;
      const request = requestFor(fitting.messages, settings, $state.snapshot(this.#settings.value));
      const answering = await this.#chats.answer({ chat, turn: wanted, model, id, request });
      answer.id = answering.answer.id;
      answer.parent = answering.answer.parent;
      answer.siblings = answering.answer.siblings;
      const question = turns.at(-1);
      if (answering.prompt && question) {
        const shown = this.turns.find((turn) => turn.key === question.key) ?? question;
        shown.id = answering.prompt.id;
        shown.siblings = answering.prompt.siblings;
      }
      if (answering.failure !== null) this.#end(id, { state: 'failed', failure: answering.failure });
      this.#asking.changed();
    } catch (error) {
      // Nothing was kept, so nothing has happened.
      this.#running.delete(id);
      Object.assign(answer, outcome);
      this.failure = sentence(error);
      if (this.entry?.id === chat) Object.assign(this, before);
    }
  }

  /** The chat that an answer is written in; null if it is nobody's here. */
  chatOf(id: number): number | null {
    return this.#running.get(id)?.chat ?? null;
  }

  /** Stops what is written in the chat that is shown. */
  async stop(): Promise<void> {
    const chat = this.entry?.id;
    await this.#cancel((running) => running.chat === chat);
  }

  async stopAll(): Promise<void> {
    await this.#cancel(() => true);
  }

  async #cancel(which: (running: Running) => boolean): Promise<void> {
    const ids = [...this.#running].filter(([, running]) => which(running)).map(([id]) => id);
    await Promise.all(ids.map((id) => this.#engine.trySend({ type: 'cancel', id })));
  }

  setDraft(text: string): void {
    this.draft = text;
    this.#keepDraft.call();
  }

  changeSettings(patch: Partial<ChatSettings>): void {
    Object.assign(this.settings, patch);
    this.#keepSettings.call();
  }

  /** Saves what was typed a moment ago. Answers are saved without the window. */
  keepNow(): void {
    if (this.#keepDraft.waiting) void this.#saveDraft();
    if (this.#keepSettings.waiting) void this.#saveSettings();
  }

  async #saveDraft(): Promise<void> {
    this.#keepDraft.cancel();
    await this.#save({ type: 'draft', draft: this.draft });
  }

  async #saveSettings(): Promise<void> {
    this.#keepSettings.cancel();
    await this.#save({ type: 'settings', settings: $state.snapshot(this.settings) });
  }

  async #save(change: Parameters<ChatsApi['change']>[1]): Promise<void> {
    if (this.entry === null) return;
    try {
      await this.#chats.change(this.entry.id, change);
    } catch (error) {
      this.failure = sentence(error);
    }
  }

  receive(event: DesktopEvent): void {
    if (event.type === 'engine_exited') {
      for (const id of [...this.#running.keys()]) this.#end(id, { state: 'interrupted' });
    } else if (event.type === 'engine') {
      this.#receive(event.event);
    }
  }

  #receive(event: Event): void {
    switch (event.type) {
      case 'prefill_progress': {
        const answer = this.#running.get(event.id)?.answer;
        if (answer?.state === 'waiting') answer.state = 'reading';
        if (answer) answer.prefill = { done: event.done, total: event.total, reused: event.reused };
        break;
      }
      case 'token':
        this.#token(event.id, event.text, event.tokens);
        break;
      case 'finished': {
        const figures = figuresOf(event.stats, this.#running.get(event.id)?.answer.figures ?? null);
        const state = event.reason === 'cancelled' ? 'stopped' : 'done';
        this.#end(event.id, { state, reason: endOf(event.reason), figures });
        break;
      }
      case 'failed':
        if (event.id === null) break;
        if (event.failure.kind === 'cancelled') this.#end(event.id, { state: 'stopped' });
        else this.#end(event.id, { state: 'failed', failure: event.failure.message });
    }
  }

  #token(id: number, text: string, tokens: number): void {
    const running = this.#running.get(id);
    if (!running) return;
    if (running.tokens === 0) running.firstToken = performance.now();
    running.arrived += text;
    running.tokens = tokens;
    const wait = Math.max(0, this.#drawn + DRAW_MS - performance.now());
    this.#cancelFrame ??= nextFrame(() => this.#flush(), wait);
  }

  #flush(): void {
    this.#cancelFrame?.();
    this.#cancelFrame = null;
    this.#drawn = performance.now();
    for (const running of this.#running.values()) {
      if (running.tokens === 0) continue;
      const { answer } = running;
      answer.state = 'writing';
      answer.text += running.arrived;
      answer.tokens = running.before + running.tokens;
      const seconds = (performance.now() - running.firstToken) / 1000;
      if (seconds > 0.3) answer.tokensPerSecond = (running.tokens - 1) / seconds;
      running.arrived = '';
    }
  }

  #end(id: number, outcome: Partial<Answer>): void {
    const running = this.#running.get(id);
    if (!running) return;
    this.#flush();
    Object.assign(running.answer, outcome, { prefill: null });
    this.#running.delete(id);
    this.#asking.changed();
  }
}
