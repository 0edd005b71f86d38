import type { Api } from '../api';
import type { Command } from '../bindings/Command';
import type { DesktopEvent } from '../bindings/DesktopEvent';
import type { Hardware } from '../bindings/Hardware';
import { sentence } from '../sentence';

/** How the engine's process ended when nobody asked it to. */
export interface EngineExit {
  message: string;
  code: number | null;
  signal: number | null;
}

/** The engine's process: is it there, what machine does it see. */
export class EngineState {
  status = $state<'stopped' | 'starting' | 'running'>('starting');
  pid = $state<number | null>(null);
  version = $state('');
  hardware = $state.raw<Hardware | null>(null);
  /** Set from an unwanted end until the next start. */
  exit = $state.raw<EngineExit | null>(null);
  /** What went wrong without stopping anything, until the person has seen it. */
  notices = $state<string[]>([]);

  readonly #api: Api;
  // Ids must differ from those of a window that was reloaded over the same engine.
  #lastId = Date.now();

  constructor(api: Api) {
    this.#api = api;
  }

  nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }

  send(command: Command): Promise<void> {
    return this.#api.send(command);
  }

  /** Starts the process if needed. Rejects with the reason. */
  async start(): Promise<void> {
    if (this.status === 'stopped') this.status = 'starting';
    try {
      await this.#api.startEngine();
    } catch (error) {
      this.status = 'stopped';
      this.exit = { message: sentence(error), code: null, signal: null };
      throw error;
    }
  }

  /** For what the person can do without: a failure is only noted. */
  async trySend(command: Command): Promise<void> {
    try {
      await this.send(command);
    } catch (error) {
      if (this.status === 'running') this.notice(sentence(error));
    }
  }

  receive(event: DesktopEvent): void {
    switch (event.type) {
      case 'engine_started':
        this.status = 'starting';
        this.pid = event.pid;
        this.exit = null;
        break;
      case 'engine_exited':
        this.status = 'stopped';
        this.pid = null;
        this.exit = event.expected
          ? null
          : { message: event.message, code: event.code, signal: event.signal };
        break;
      case 'engine':
        if (event.event.type === 'ready') {
          this.status = 'running';
          this.version = event.event.version;
          this.hardware = event.event.hardware;
          this.exit = null;
        } else if (event.event.type === 'failed' && event.event.id === null) {
          this.notice(event.event.failure.message);
        }
        break;
      case 'notice':
        this.notice(event.message);
    }
  }

  notice(message: string): void {
    if (!this.notices.includes(message)) this.notices.push(message);
  }

  dismiss(message: string): void {
    this.notices = this.notices.filter((shown) => shown !== message);
  }
}
