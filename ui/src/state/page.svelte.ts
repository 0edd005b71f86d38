export const pages = ['chat', 'models', 'memory', 'api', 'settings'] as const;
export type Page = (typeof pages)[number];

const MEMORY_PAGE_HZ = 8;
const STRIP_HZ = 1;

/** Which page is open, and can anyone see it. */
export class PageState {
  current = $state<Page>('chat');
  visible = $state(true);
  /** Part of the Models page that is open. */
  models = $state<'here' | 'find'>('here');

  /** How often the engine should tell about its memory. */
  get watchHz(): number {
    if (!this.visible) return 0;
    return this.current === 'memory' ? MEMORY_PAGE_HZ : STRIP_HZ;
  }

  open(page: Page): void {
    this.current = page;
  }
}
