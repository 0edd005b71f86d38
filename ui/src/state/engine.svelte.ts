import type { Api } from '../api';
import type { Command } from '../bindings/Command';
import type { DesktopEvent } from '../bindings/DesktopEvent';
import type { Hardware } from '../bindings/Hardware';
import type { Prompt } from '../bindings/Prompt';
import { sentence } from '../sentence';

/** How the engine's process ended when nobody asked it to. */
export interface EngineExit {
  message: string;
  code: number | null;
  signal: number | null;
}

/** Somebody waits for tokens to be counted. */
interface Counting {
  id: number;
  resolve: (tokens: number[]) => void;
  reject: (why: string) => void;
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
  #counts: Counting[] = [];
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

  /** Tokens of each prompt as the loaded model reads it. Rejects with a sentence. */
  async count(prompts: Prompt[]): Promise<number[]> {
    const id = this.nextId();
    const counted = new Promise<number[]>((resolve, reject) => {
      this.#counts.push({ id, resolve, reject });
    });
    try {
      await this.send({ type: 'count', id, prompts });
    } catch (error) {
      this.#waiting(id);
      throw error;
    }
    return counted;
  }

  /** Who waits for this count, and waits no more. */
  #waiting(id: number): Counting | undefined {
    const waiting = this.#counts.find((one) => one.id === id);
    this.#counts = this.#counts.filter((one) => one.id !== id);
    return waiting;
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
        for (const waiting of this.#counts) waiting.reject(event.message);
        this.#counts = [];
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
        } else if (event.event.type === 'counted') {
          this.#waiting(event.event.id)?.resolve(event.event.tokens);
        } else if (event.event.type === 'failed') {
          const { id, failure } = event.event;
          if (id === null) this.notice(failure.message);
          else this.#waiting(id)?.reject(failure.message);
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
