import type { Api } from '../api';
import type { AnswerRequest } from '../bindings/AnswerRequest';
import type { Answering } from '../bindings/Answering';
import type { Chat } from '../bindings/Chat';
import type { ChatChange } from '../bindings/ChatChange';
import type { ChatEntry } from '../bindings/ChatEntry';
import type { ChatSettings } from '../bindings/ChatSettings';
import type { DesktopEvent } from '../bindings/DesktopEvent';
import type { ExportForm } from '../bindings/ExportForm';
import type { Hit } from '../bindings/Hit';
import type { Imported } from '../bindings/Imported';
import type { Message } from '../bindings/Message';
import type { ChatsApi } from '../chat/api';
import { sentence } from '../sentence';
import { freshChatSettings } from '../state/chatSettings';
import { endOf, figuresOf } from '../state/conversation';

interface Kept {
  entry: ChatEntry;
  draft: string;
  settings: ChatSettings;
  leaf: number | null;
  deleted: boolean;
}

/** Chats in memory that behave like the kept ones; the engine behind `api` answers. */
export class MemoryChats implements ChatsApi {
  readonly kept = new Map<number, Kept>();
  readonly messages = new Map<number, Message & { chat: number }>();
  readonly exported: [number | null, ExportForm][] = [];
  readonly imports: string[] = [];
  /** When set, everything rejects with it. */
  refusal: string | null = null;
  foreign = 1;
  readonly #api: Api;
  readonly #running = new Map<number, number>();
  #last = 0;
  #opened: number | null = null;
  #time = Date.now();

  constructor(api: Api) {
    this.#api = api;
  }

  /** Must hear what the window hears. */
  hear(event: DesktopEvent): void {
    if (event.type !== 'engine') {
      if (event.type === 'engine_exited') {
        for (const [id] of this.#running) this.#end(id, 'interrupted');
      }
      return;
    }
    const told = event.event;
    if (told.type === 'token') this.#answer(told.id).text += told.text;
    if (told.type === 'failed' && told.id !== null) this.#end(told.id, 'failed');
    if (told.type === 'finished') {
      const { details } = this.#answer(told.id);
      details.figures = figuresOf(told.stats, details.figures ?? null);
      const end = endOf(told.reason);
      if (end) details.end = end;
      this.#end(told.id, told.reason === 'cancelled' ? 'stopped' : 'done');
    }
  }

  #answer(id: number): Message {
    return this.messages.get(this.#running.get(id) ?? -1) ?? blankMessage(0, null, 'assistant', '');
  }

  #end(id: number, state: Message['state']): void {
    this.#answer(id).state = state;
    this.#running.delete(id);
  }

  #chat(id: number): Kept {
    if (this.refusal !== null) throw this.refusal;
    const kept = this.kept.get(id);
    if (!kept || kept.deleted) throw 'this chat is not there any more; choose another one';
    return kept;
  }

  #number(): number {
    this.#last += 1;
    return this.#last;
  }

  #now(): number {
    this.#time += 1;
    return this.#time;
  }

  #of(chat: number): Message[] {
    return [...this.messages.values()].filter((message) => message.chat === chat);
  }

  #view(id: number): Chat {
    const { entry, draft, settings, leaf } = this.#chat(id);
    const all = this.#of(id);
    const path: Message[] = [];
    for (let next = leaf; next !== null;) {
      const message = this.messages.get(next);
      if (!message) break;
      const siblings = all.filter((other) => other.parent === message.parent).map((other) => other.id);
      path.unshift({ ...message, siblings });
      next = message.parent;
    }
    return structuredClone({ entry, draft, settings, path });
  }

  #insert(chat: number, parent: number | null, role: Message['role'], text: string): Message {
    const id = this.#number();
    const message = { ...blankMessage(id, parent, role, text), created: this.#now(), chat };
    this.messages.set(id, message);
    const kept = this.#chat(chat);
    kept.leaf = id;
    kept.entry.changed = this.#now();
    return message;
  }

  async list(): Promise<ChatEntry[]> {
    if (this.refusal !== null) throw this.refusal;
    const entries = [...this.kept.values()]
      .filter((kept) => !kept.deleted && this.#of(kept.entry.id).length > 0)
      .map((kept) => kept.entry);
    entries.sort((a, b) => Number(b.pinned) - Number(a.pinned) || b.changed - a.changed);
    return structuredClone(entries);
  }

  async open(chat: number | null): Promise<Chat> {
    const id = chat ?? this.#opened;
    if (id === null) return this.create();
    this.#opened = id;
    return this.#view(id);
  }

  async create(): Promise<Chat> {
    const empty = [...this.kept.values()].find((kept) => this.#of(kept.entry.id).length === 0);
    if (empty && !empty.deleted) return this.open(empty.entry.id);
    const id = this.#number();
    const entry = { id, title: '', folder: '', pinned: false, created: this.#now(), changed: this.#now() };
    this.kept.set(id, { entry, draft: '', settings: freshChatSettings(), leaf: null, deleted: false });
    return this.open(id);
  }

  async branch(message: number): Promise<Chat> {
    const chat = this.messages.get(message)?.chat;
    if (chat === undefined) throw 'this message is not there any more; open the chat again';
    let leaf = message;
    for (;;) {
      const next = this.#of(chat).findLast((other) => other.parent === leaf);
      if (!next) break;
      leaf = next.id;
    }
    this.#chat(chat).leaf = leaf;
    return this.open(chat);
  }

  async change(chat: number, change: ChatChange): Promise<void> {
    if (change.type === 'restore') {
      const kept = this.kept.get(chat);
      if (kept) kept.deleted = false;
      return;
    }
    const kept = this.#chat(chat);
    if (change.type === 'rename') {
      const first = this.#of(chat)[0]?.text ?? '';
      kept.entry.title = change.title.trim() === '' ? first : change.title.trim();
    }
    if (change.type === 'pin') kept.entry.pinned = change.pinned;
    if (change.type === 'move') kept.entry.folder = change.folder;
    if (change.type === 'draft') kept.draft = change.draft;
    if (change.type === 'settings') kept.settings = structuredClone(change.settings);
    if (change.type === 'delete') kept.deleted = true;
  }

  async search(words: string): Promise<Hit[]> {
    if (this.refusal !== null) throw this.refusal;
    const wanted = words.trim().toLowerCase();
    const hits: Hit[] = [];
    for (const entry of await this.list()) {
      const found = this.#of(entry.id).find((message) => message.text.toLowerCase().includes(wanted));
      if (entry.title.toLowerCase().includes(wanted)) hits.push({ chat: entry, message: null, excerpt: [] });
      else if (found) {
        const at = found.text.toLowerCase().indexOf(wanted);
        const end = at + wanted.length;
        const excerpt = [
          { text: found.text.slice(Math.max(0, at - 30), at), found: false },
          { text: found.text.slice(at, end), found: true },
          { text: found.text.slice(end, end + 30), found: false },
        ];
        hits.push({ chat: entry, message: found.id, excerpt });
      }
    }
    return hits;
  }

  async foreignChanges(): Promise<number> {
    return this.foreign;
  }

  async exportTo(chat: number | null, form: ExportForm): Promise<string | null> {
    this.exported.push([chat, form]);
    return '/home/ada/Chat.md';
  }

  async importFile(): Promise<Imported | null> {
    return { added: [], known: 2, skipped: 0 };
  }

  async importText(text: string): Promise<Imported> {
    if (this.refusal !== null) throw this.refusal;
    this.imports.push(text);
    const { chats } = JSON.parse(text) as {
      chats: { leaf: number; messages: Pick<Message, 'id' | 'parent' | 'role' | 'text' | 'state'>[] }[];
    };
    const added: number[] = [];
    for (const { messages, leaf } of chats) {
      const id = this.#number();
      const title = messages[0]?.text ?? '';
      const entry = { id, title, folder: '', pinned: false, created: this.#now(), changed: this.#now() };
      this.kept.set(id, { entry, draft: '', settings: freshChatSettings(), leaf: null, deleted: false });
      const numbers = new Map<number, number>();
      for (const { id: old, parent, role, text: words, state } of messages) {
        const message = this.#insert(id, parent === null ? null : (numbers.get(parent) ?? null), role, words);
        message.state = state;
        numbers.set(old, message.id);
      }
      this.#chat(id).leaf = numbers.get(leaf) ?? null;
      added.push(id);
    }
    return { added, known: 0, skipped: 0 };
  }

  async answer({ chat, turn, model, id, request }: AnswerRequest): Promise<Answering> {
    const kept = this.#chat(chat);
    let prompt: Message | null = null;
    let answer: Message;
    if (turn.type === 'continue') {
      const found = this.messages.get(turn.answer);
      if (!found) throw 'this message is not there any more; open the chat again';
      answer = found;
    } else {
      if (turn.type === 'ask') {
        prompt = this.#insert(chat, turn.parent, 'user', turn.text);
        if (turn.files.length > 0) prompt.details.files = turn.files;
        kept.draft = '';
        if (kept.entry.title === '') kept.entry.title = turn.text.slice(0, 60);
      }
      const parent = turn.type === 'again' ? turn.prompt : (prompt?.id ?? null);
      answer = this.#insert(chat, parent, 'assistant', '');
      if (model !== null) answer.details.model = model;
    }
    answer.state = 'writing';
    this.#running.set(id, answer.id);
    let failure: string | null = null;
    try {
      await this.#api.send({ type: 'generate', id, request });
    } catch (error) {
      failure = sentence(error);
      this.#end(id, 'failed');
    }
    const { path } = this.#view(chat);
    const view = (message: Message) => path.find((other) => other.id === message.id) ?? message;
    return { prompt: prompt && view(prompt), answer: view(answer), failure };
  }
}

function blankMessage(id: number, parent: number | null, role: Message['role'], text: string): Message {
  return { id, parent, role, text, created: 0, state: 'done', siblings: [], details: {} };
}
