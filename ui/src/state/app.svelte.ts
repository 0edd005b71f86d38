import { createContext } from 'svelte';
import type { Api } from '../api';
import type { Event } from '../bindings/Event';
import type { ChatSettings } from '../bindings/ChatSettings';
import type { CloseChoice } from '../bindings/CloseChoice';
import type { DesktopEvent } from '../bindings/DesktopEvent';
import type { GenerationStats } from '../bindings/GenerationStats';
import { sentence } from '../sentence';
import { text } from '../text';
import type { HubApi } from '../hub/api';
import { ServerState } from '../server/server.svelte';
import { DownloadsState } from '../hub/downloads.svelte';
import { FindState } from '../hub/find.svelte';
import type { ChatsApi } from '../chat/api';
import { ChatState } from './chat.svelte';
import { ChatsState } from './chats.svelte';
import { ContextState } from './context.svelte';
import type { ChatMessage } from './conversation';
import { EngineState } from './engine.svelte';
import { LibraryState } from './library.svelte';
import { fit, roomFor, type Fitting } from './limit';
import { MemoryState } from './memory.svelte';
import { ModelState } from './model.svelte';
import { PageState } from './page.svelte';
import { reportOf } from './report';
import { SettingsState } from './settings.svelte';

/** A window that was reloaded over a running engine hears of its model within this time. */
const REPLAY_MS = 80;
/** Shorter answers say little about speed. */
const TELLING_TOKENS = 32;

/** An answer that took longer was long work. */
const LONG_MS = 10_000;

/** All the state of the window; made once and handed down. */
export class AppState {
  readonly page: PageState;
  readonly engine: EngineState;
  readonly settings: SettingsState;
  readonly library: LibraryState;
  readonly model: ModelState;
  readonly memory: MemoryState;
  readonly chat: ChatState;
  readonly chats: ChatsState;
  readonly context: ContextState;
  readonly hub: HubApi;
  readonly find: FindState;
  readonly downloads: DownloadsState;
  readonly server: ServerState;

  /** The person closed the window while this goes on, and is asked about it. */
  closing = $state.raw<{ downloads: boolean; api: boolean } | null>(null);

  readonly #api: Api;
  #began = false;
  /** A model was unloaded to leave its memory to others while there is no window. */
  #slept = false;
  /** A model that was opened from outside before the engine was ready. */
  #asked: string | null = null;

  constructor(api: Api, hub: HubApi, chats: ChatsApi, storage: Storage) {
    this.#api = api;
    this.page = new PageState(storage);
    this.engine = new EngineState(api);
    this.settings = new SettingsState(api);
    this.library = new LibraryState(api, hub, this.settings);
    this.model = new ModelState(this.engine, this.settings, (path) => this.#loaded(path));
    this.memory = new MemoryState(this.engine, (memory) => {
      if (this.model.path !== null) this.settings.setMemory(this.model.path, memory);
    });
    this.chat = new ChatState(this.engine, this.settings, chats, {
      model: () => this.model.info?.name ?? null,
      fit: (messages, own) => this.#fit(messages, own),
      changed: () => void this.chats.refresh(),
    });
    this.context = new ContextState(this.engine, this.model, this.memory, this.settings, this.chat);
    this.chats = new ChatsState(chats, this.chat, storage);
    this.hub = hub;
    this.server = new ServerState(api, this.settings);
    this.find = new FindState(hub, this.settings);
    this.downloads = new DownloadsState(hub, (names) => {
      for (const name of names) this.#tell(text.habits.notify.download, name);
      void this.library.refresh();
      void this.find.refresh();
    });
  }

  async begin(): Promise<void> {
    await this.settings.load();
    await this.chats.begin();
    await this.library.refresh();
    try {
      await this.#api.subscribe((event) => this.receive(event));
      await this.engine.start();
    } catch (error) {
      this.engine.status = 'stopped';
      this.engine.exit ??= { message: sentence(error), code: null, signal: null };
    }
  }

  receive(event: DesktopEvent): void {
    if (event.type === 'close_asked') this.closing = { downloads: event.downloads, api: event.api };
    if (event.type === 'window_shown') this.#wake();
    if (event.type === 'file_opened') this.#open(event.path);
    this.engine.receive(event);
    this.model.receive(event);
    this.memory.receive(event);
    if (event.type === 'engine') this.#tellOfAnswer(event.event);
    this.chat.receive(event);
    this.server.receive(event);
    if (event.type === 'engine' && event.event.type === 'finished') this.#measured(event.event.stats);
    if (event.type === 'engine' && event.event.type === 'ready' && !this.#began) {
      this.#began = true;
      setTimeout(() => void this.#loadFirst(), REPLAY_MS);
    }
  }

  /** Loads `path` in place of the present model; a running answer is stopped first. */
  async load(path: string): Promise<void> {
    await this.chat.stopAll();
    this.memory.clear();
    await this.model.load(path);
  }

  async unload(): Promise<void> {
    await this.chat.stopAll();
    await this.model.unload();
  }

  /** The person's answer to `closing`. */
  async close(choice: CloseChoice): Promise<void> {
    const shared = this.closing?.api ?? false;
    this.closing = null;
    if (choice !== 'stay') this.chat.keepNow();
    // Other programs go on using the model; nobody else needs it without a window.
    if (choice === 'background' && !shared) {
      this.#slept = this.model.phase === 'loaded';
      await this.unload();
    }
    try {
      await this.#api.closeWindow(choice);
    } catch (error) {
      this.engine.notice(sentence(error));
    }
  }

  /** The person has seen the address. */
  async openLink(address: string): Promise<void> {
    this.page.link = null;
    try {
      await this.#api.openLink(address);
    } catch (error) {
      this.engine.notice(sentence(error));
    }
  }

  async zoom(factor: number): Promise<void> {
    try {
      await this.#api.setZoom(factor);
    } catch (error) {
      this.engine.notice(sentence(error));
    }
  }

  async saveReport(): Promise<void> {
    try {
      const path = await this.#api.saveReport('moestro-report.json', reportOf(this));
      if (path !== null) this.page.saved = path;
    } catch (error) {
      this.engine.notice(sentence(error));
    }
  }

  /** Outside of the window, to somebody who looks elsewhere. */
  #tell(title: string, body: string): void {
    const { visible, focused } = this.page;
    if (!this.settings.value.notify || (visible && focused)) return;
    void this.#api.notify(title, body).catch(() => false);
  }

  #tellOfAnswer(event: Event): void {
    if (event.type !== 'finished' || event.reason === 'cancelled') return;
    const { first_token_ms, decode_ms } = event.stats;
    const chat = this.chat.chatOf(event.id);
    if (chat === null || first_token_ms + decode_ms < LONG_MS) return;
    const entry = this.chats.entries.find(({ id }) => id === chat);
    this.#tell(text.habits.notify.answer, entry?.title ?? '');
  }

  async #fit(messages: ChatMessage[], own: ChatSettings): Promise<Fitting> {
    const { size } = this.context;
    if (size === 0) return { messages, left: 0 };
    const room = roomFor(size, own.max_tokens ?? this.settings.value.max_tokens);
    return fit(messages, own.at_limit, size, room, (prompts) => this.engine.count(prompts));
  }

  #wake(): void {
    if (this.#slept && this.model.phase === 'none') void this.model.loadAgain();
    this.#slept = false;
  }

  /** A model that was opened outside of the window. */
  #open(path: string): void {
    this.page.current = 'chat';
    const { phase } = this.model;
    const there = path === this.model.path && (phase === 'loading' || phase === 'loaded');
    if (!this.#began) this.#asked = path;
    else if (!there) void this.load(path);
  }

  /** The person's way out after the engine stopped. */
  async loadAgain(): Promise<void> {
    if (this.model.path === null) this.model.path = this.library.first();
    await this.model.loadAgain();
  }

  async #loadFirst(): Promise<void> {
    const asked = this.#asked;
    this.#asked = null;
    if (asked !== null) return this.load(asked);
    if (!this.settings.value.load_on_start || this.model.phase !== 'none') return;
    const path = this.library.first();
    if (path !== null) await this.model.load(path);
  }

  /** Keeps the speed of an answer that was long enough to tell, beside the estimate. */
  #measured(stats: GenerationStats): void {
    const { path } = this.model;
    if (path === null || stats.generated_tokens < TELLING_TOKENS) return;
    this.settings.setSpeed(path, { measured: stats.decode_tokens_per_second });
  }

  #loaded(path: string): void {
    const demo = this.library.isDemo(path);
    const known = this.library.entries.some((entry) => entry.path === path);
    this.settings.remember(path, demo);
    if (!known) void this.settings.saveNow().then(() => this.library.refresh());
  }
}

export const [app, setApp] = createContext<AppState>();
