import type { ChatChange } from '../bindings/ChatChange';
import type { ChatEntry } from '../bindings/ChatEntry';
import type { ExportForm } from '../bindings/ExportForm';
import type { Hit } from '../bindings/Hit';
import type { ChatsApi } from '../chat/api';
import { sentence } from '../sentence';
import { text } from '../text';
import type { ChatState } from './chat.svelte';
import { forgetLegacy, legacyExport } from './legacy';
import { Trailing } from './trailing';

/** A deleted chat can be taken back in the list for this long. */
const UNDO_MS = 12_000;
const SEARCH_DELAY_MS = 150;

/** The list of all chats: search, names, pins, folders, and what was deleted. */
export class ChatsState {
  entries = $state.raw<ChatEntry[]>([]);
  /** What is looked for, and what was found; null while nothing is looked for. */
  words = $state('');
  hits = $state.raw<Hit[] | null>(null);
  /** The chat that was deleted last, while it can be taken back. */
  deleted = $state.raw<ChatEntry | null>(null);
  failure = $state<string | null>(null);
  /** What an export or import came to. */
  notice = $state<string | null>(null);

  readonly #api: ChatsApi;
  readonly #chat: ChatState;
  readonly #storage: Storage;
  readonly #search = new Trailing(SEARCH_DELAY_MS, () => void this.#find());
  #undoTimer: ReturnType<typeof setTimeout> | undefined;
  #foreign: number | null = null;

  constructor(api: ChatsApi, chat: ChatState, storage: Storage) {
    this.#api = api;
    this.#chat = chat;
    this.#storage = storage;
  }

  async begin(): Promise<void> {
    await this.#takeOver();
    await this.#chat.open(null);
    await this.refresh();
  }

  /** A chat of an earlier version, kept by the page itself, moves to the others. */
  async #takeOver(): Promise<void> {
    const legacy = legacyExport(this.#storage);
    if (legacy === null) return;
    await this.#try(async () => {
      let chat: number | undefined;
      if (legacy.text !== '') chat = (await this.#api.importText(legacy.text)).added[0];
      const opened = chat === undefined ? await this.#api.create() : await this.#api.open(chat);
      if (legacy.draft !== '') {
        await this.#api.change(opened.entry.id, { type: 'draft', draft: legacy.draft });
      }
      forgetLegacy(this.#storage);
    });
  }

  async refresh(): Promise<void> {
    await this.#try(async () => {
      this.entries = await this.#api.list();
      this.#foreign = await this.#api.foreignChanges();
      const shown = this.entries.find((entry) => entry.id === this.#chat.entry?.id);
      if (shown) this.#chat.rename(shown);
      if (this.words.trim() !== '') await this.#find();
    });
  }

  /** Another window may have changed something while this one was not looked at. */
  async lookAgain(): Promise<void> {
    if (this.#foreign === null) return;
    await this.#try(async () => {
      if ((await this.#api.foreignChanges()) !== this.#foreign) await this.refresh();
    });
  }

  lookFor(words: string): void {
    this.words = words;
    if (words.trim() === '') {
      this.#search.cancel();
      this.hits = null;
    } else {
      this.#search.call();
    }
  }

  async #find(): Promise<void> {
    const words = this.words;
    if (words.trim() === '') return;
    await this.#try(async () => {
      const hits = await this.#api.search(words);
      if (words === this.words) this.hits = hits;
    });
  }

  async show(hit: Hit): Promise<void> {
    if (hit.message === null) await this.#chat.open(hit.chat.id);
    else await this.#chat.lookAt(hit.message);
  }

  rename(chat: number, title: string): Promise<void> {
    return this.#change(chat, { type: 'rename', title });
  }
  pin(chat: number, pinned: boolean): Promise<void> {
    return this.#change(chat, { type: 'pin', pinned });
  }
  move(chat: number, folder: string): Promise<void> {
    return this.#change(chat, { type: 'move', folder });
  }

  async delete(entry: ChatEntry): Promise<void> {
    const shown = this.#chat.entry?.id === entry.id;
    if (shown) await this.#chat.stop();
    await this.#change(entry.id, { type: 'delete' });
    if (this.failure !== null) return;
    if (shown) await this.#chat.newChat();
    this.deleted = entry;
    clearTimeout(this.#undoTimer);
    this.#undoTimer = setTimeout(() => (this.deleted = null), UNDO_MS);
  }

  async undo(): Promise<void> {
    const { deleted } = this;
    if (deleted === null) return;
    clearTimeout(this.#undoTimer);
    this.deleted = null;
    await this.#change(deleted.id, { type: 'restore' });
    await this.#chat.open(deleted.id);
  }

  async #change(chat: number, change: ChatChange): Promise<void> {
    await this.#try(async () => {
      await this.#api.change(chat, change);
      await this.refresh();
    });
  }

  async exportTo(chat: number | null, form: ExportForm): Promise<void> {
    await this.#try(async () => {
      const path = await this.#api.exportTo(chat, form);
      if (path !== null) this.notice = text.chats.exported(path);
    });
  }

  async importFile(): Promise<void> {
    await this.#try(async () => {
      const imported = await this.#api.importFile();
      if (imported === null) return;
      this.notice = text.chats.imported(imported.added.length, imported.known, imported.skipped);
      await this.refresh();
    });
  }

  async #try(action: () => Promise<void>): Promise<void> {
    try {
      await action();
      this.failure = null;
    } catch (error) {
      this.failure = sentence(error);
    }
  }
}
