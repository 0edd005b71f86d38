export const pages = ['chat', 'models', 'memory', 'api', 'settings'] as const;
export type Page = (typeof pages)[number];

const MEMORY_PAGE_HZ = 8;
const STRIP_HZ = 1;
const CHAT_LIST = 'moestro.chatList';

/** Which page is open, and can anyone see it. */
export class PageState {
  current = $state<Page>('chat');
  visible = $state(true);
  /** Has the window the keyboard? */
  focused = $state(true);
  /** What lies over the page. */
  overlay = $state<'palette' | 'shortcuts' | 'chat_settings' | null>(null);
  /** Where a report was saved, until the person has seen it. */
  saved = $state<string | null>(null);
  /** An address of an answer that the person wants to open. */
  link = $state<string | null>(null);
  /** Part of the Models page that is open. */
  models = $state<'here' | 'find'>('here');
  /** Is the list of chats shown beside the chat? */
  chatList = $state(true);

  readonly #storage: Storage;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.chatList = storage.getItem(CHAT_LIST) !== 'hidden';
  }

  /** How often the engine should tell about its memory. */
  get watchHz(): number {
    if (!this.visible) return 0;
    return this.current === 'memory' ? MEMORY_PAGE_HZ : STRIP_HZ;
  }

  toggleChatList(): void {
    this.chatList = !this.chatList;
    this.#storage.setItem(CHAT_LIST, this.chatList ? 'shown' : 'hidden');
  }

  open(page: Page): void {
    this.current = page;
  }
}
