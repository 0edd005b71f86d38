/**
 * Runs `action` at most once per `delay` ms while it is called often, and always
 * once after the last call.
 */
export class Trailing {
  readonly #delay: number;
  readonly #action: () => void;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(delay: number, action: () => void) {
    this.#delay = delay;
    this.#action = action;
  }

  get waiting(): boolean {
    return this.#timer !== null;
  }

  call(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#action();
    }, this.#delay);
  }

  cancel(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
