import type { DesktopEvent } from '../bindings/DesktopEvent';
import type { Failure } from '../bindings/Failure';
import type { LoadStage } from '../bindings/LoadStage';
import type { ModelInfo } from '../bindings/ModelInfo';
import { sentence } from '../sentence';
import type { EngineState } from './engine.svelte';
import type { SettingsState } from './settings.svelte';

export interface LoadProgress {
  stage: LoadStage;
  done: number;
  total: number;
}

/** The model in the engine, or on its way there. */
export class ModelState {
  phase = $state<'none' | 'loading' | 'loaded' | 'unloading'>('none');
  /** The model that is loaded or loading; stays after an end of the engine, to load it again. */
  path = $state<string | null>(null);
  info = $state.raw<ModelInfo | null>(null);
  progress = $state.raw<LoadProgress | null>(null);
  /** Why the last load did not succeed. */
  failure = $state.raw<Failure | null>(null);
  cancelling = $state(false);

  readonly #engine: EngineState;
  readonly #settings: SettingsState;
  readonly #onLoaded: (path: string) => void;
  #id = 0;

  constructor(engine: EngineState, settings: SettingsState, onLoaded: (path: string) => void) {
    this.#engine = engine;
    this.#settings = settings;
    this.#onLoaded = onLoaded;
  }

  async load(path: string): Promise<void> {
    const id = this.#engine.nextId();
    this.#id = id;
    this.phase = 'loading';
    this.path = path;
    this.info = null;
    this.progress = null;
    this.failure = null;
    this.cancelling = false;
    const request = {
      model: path,
      memory: this.#settings.memoryFor(path),
      threads: this.#settings.value.threads,
      quantize: this.#settings.quantizeFor(path),
    };
    try {
      await this.#engine.start();
      await this.#engine.send({ type: 'load', id, request });
    } catch (error) {
      if (this.#id === id) this.#fail({ kind: 'internal', message: sentence(error) });
    }
  }

  /** Starts the engine anew if it has to, and loads the model that was there. */
  async loadAgain(): Promise<void> {
    if (this.path !== null) await this.load(this.path);
  }

  async cancel(): Promise<void> {
    if (this.phase !== 'loading') return;
    this.cancelling = true;
    await this.#engine.trySend({ type: 'cancel', id: this.#id });
  }

  async unload(): Promise<void> {
    if (this.phase !== 'loaded') return;
    this.phase = 'unloading';
    this.#id = this.#engine.nextId();
    try {
      await this.#engine.send({ type: 'unload', id: this.#id });
    } catch (error) {
      this.#fail({ kind: 'internal', message: sentence(error) });
    }
  }

  receive(event: DesktopEvent): void {
    if (event.type === 'engine_exited') {
      if (this.phase === 'loading') this.failure = { kind: 'internal', message: event.message };
      this.#clear();
    } else if (event.type === 'engine') {
      const message = event.event;
      switch (message.type) {
        case 'load_progress':
          if (message.id === this.#id) this.progress = message;
          break;
        case 'loaded':
          this.#loaded(message.id, message.model);
          break;
        case 'unloaded':
          this.#clear();
          break;
        case 'failed':
          if (message.id === this.#id && (this.phase === 'loading' || this.phase === 'unloading')) {
            this.#fail(message.failure);
          }
      }
    }
  }

  #loaded(id: number, info: ModelInfo): void {
    // Another id is the replay of a load that an earlier window asked for.
    if (id === this.#id || this.phase !== 'loading') {
      if (id !== this.#id) this.path = info.path;
      this.phase = 'loaded';
      this.info = info;
      this.progress = null;
      this.failure = null;
      if (this.path !== null) this.#onLoaded(this.path);
    }
  }

  #fail(failure: Failure): void {
    this.#clear();
    this.failure = failure.kind === 'cancelled' ? null : failure;
  }

  #clear(): void {
    this.phase = 'none';
    this.info = null;
    this.progress = null;
    this.cancelling = false;
  }
}
