const NEAR_PX = 32;

/**
 * Keeps a scroll box at its end while `content` grows, until the person scrolls
 * up; at the end again it holds on again.
 */
export class Stick {
  readonly #box: HTMLElement;
  readonly #onChange: (stuck: boolean) => void;
  readonly #observer: ResizeObserver;
  #stuck = true;
  #lastTop = 0;

  constructor(box: HTMLElement, content: HTMLElement, onChange: (stuck: boolean) => void) {
    this.#box = box;
    this.#onChange = onChange;
    this.#observer = new ResizeObserver(() => this.#follow());
    this.#observer.observe(content);
    this.#observer.observe(box);
    box.addEventListener('scroll', this.#scrolled, { passive: true });
    this.jump();
  }

  /** To the end, and stay there. */
  jump(): void {
    this.#set(true);
    this.#follow();
  }

  /** Lets go, because something else is to be looked at. */
  release(): void {
    this.#set(false);
  }

  destroy(): void {
    this.#observer.disconnect();
    this.#box.removeEventListener('scroll', this.#scrolled);
  }

  #follow(): void {
    if (!this.#stuck) return;
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#lastTop = this.#box.scrollTop;
  }

  readonly #scrolled = (): void => {
    const { scrollTop, scrollHeight, clientHeight } = this.#box;
    const atEnd = scrollHeight - scrollTop - clientHeight <= NEAR_PX;
    // Only a move upwards lets go; text that arrives below is no move.
    if (scrollTop < this.#lastTop - 1 && !atEnd) this.#set(false);
    else if (atEnd) this.#set(true);
    this.#lastTop = scrollTop;
  };

  #set(stuck: boolean): void {
    if (stuck === this.#stuck) return;
    this.#stuck = stuck;
    this.#onChange(stuck);
  }
}
