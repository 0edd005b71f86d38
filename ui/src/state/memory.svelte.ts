import type { DesktopEvent } from '../bindings/DesktopEvent';
import type { MemorySettings } from '../bindings/MemorySettings';
import type { MemorySnapshot } from '../bindings/MemorySnapshot';
import type { Placement } from '../bindings/Placement';
import { sentence } from '../sentence';
import type { EngineState } from './engine.svelte';
import { History } from './history.svelte';
import { automaticMemory } from './settings.svelte';
import { Trailing } from './trailing';

const SEND_DELAY_MS = 100;
/** An answer that has not come by then is no longer waited for. */
const ANSWER_MS = 3000;
/** Moves of the sliders closer together than this are compared with the time before the first. */
const ONE_MOVE_MS = 5000;

/** Where the bytes live, and what the person wants to change about it. */
export class MemoryState {
  placement = $state.raw<Placement | null>(null);
  wanted = $state<MemorySettings>(automaticMemory());
  /** `pending` from the first move of a slider until the engine has followed. */
  state = $state<'applied' | 'pending' | 'failed'>('applied');
  failure = $state<string | null>(null);
  snapshot = $state.raw<MemorySnapshot | null>(null);
  /** The placement before the sliders were last moved, to compare with; moves in quick succession are one. */
  before = $state.raw<Placement | null>(null);
  readonly history = new History();

  readonly #engine: EngineState;
  readonly #onApplied: (memory: MemorySettings) => void;
  readonly #send = new Trailing(SEND_DELAY_MS, () => void this.#configure());
  #unanswered: number | null = null;
  #movedAt = 0;
  #unansweredSince = 0;

  constructor(engine: EngineState, onApplied: (memory: MemorySettings) => void) {
    this.#engine = engine;
    this.#onApplied = onApplied;
  }

  /** Takes effect between two tokens; `null` leaves the choice to the engine. */
  want(patch: Partial<MemorySettings>): void {
    if (Date.now() - this.#movedAt > ONE_MOVE_MS) this.before = this.placement;
    this.#movedAt = Date.now();
    Object.assign(this.wanted, patch);
    this.state = 'pending';
    this.failure = null;
    this.#send.call();
  }

  watch(hz: number): void {
    void this.#engine.trySend({ type: 'watch', hz });
  }

  async #configure(): Promise<void> {
    // One request at a time: a slow engine must not work through old positions.
    if (this.#unanswered !== null && Date.now() - this.#unansweredSince < ANSWER_MS) {
      this.#send.call();
      return;
    }
    const id = this.#engine.nextId();
    this.#unanswered = id;
    this.#unansweredSince = Date.now();
    try {
      await this.#engine.send({ type: 'configure', id, memory: $state.snapshot(this.wanted) });
    } catch (error) {
      this.#answered();
      this.#fail(sentence(error));
    }
  }

  receive(event: DesktopEvent): void {
    if (event.type === 'engine_exited') {
      this.clear();
    } else if (event.type === 'engine') {
      const message = event.event;
      switch (message.type) {
        case 'loaded':
          this.clear();
          this.placement = message.placement;
          this.wanted = { ...message.placement.settings };
          break;
        case 'unloaded':
          this.clear();
          break;
        case 'configured':
          this.placement = message.placement;
          if (this.#unanswered === null && !this.#send.waiting) {
            this.wanted = { ...message.placement.settings };
          } else if (message.id === this.#unanswered) {
            this.#answered();
            if (!this.#send.waiting) {
              this.state = 'applied';
              this.#onApplied($state.snapshot(this.wanted));
            }
          }
          break;
        case 'failed':
          if (message.id !== null && message.id === this.#unanswered) {
            this.#answered();
            this.#fail(message.failure.message);
          }
          break;
        case 'snapshot':
          this.snapshot = message.snapshot;
          this.history.add(message.snapshot);
      }
    }
  }

  #answered(): void {
    this.#unanswered = null;
  }

  #fail(message: string): void {
    if (this.#send.waiting) return;
    this.state = 'failed';
    this.failure = message;
    if (this.placement) this.wanted = { ...this.placement.settings };
  }

  /** Of the model that is gone. */
  clear(): void {
    this.#send.cancel();
    this.#answered();
    this.placement = null;
    this.before = null;
    this.#movedAt = 0;
    this.snapshot = null;
    this.wanted = automaticMemory();
    this.state = 'applied';
    this.failure = null;
    this.history.clear();
  }
}
