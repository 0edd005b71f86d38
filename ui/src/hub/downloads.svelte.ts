import type { DownloadList } from '../bindings/DownloadList';
import type { JobView } from '../bindings/JobView';
import { sentence } from '../sentence';
import type { HubApi } from './api';

/** While something moves, and while nothing does. */
const BUSY_MS = 500;
const IDLE_MS = 4000;

/** The download queue, as the desktop keeps it. */
export class DownloadsState {
  list = $state.raw<DownloadList | null>(null);
  failure = $state<string | null>(null);

  readonly #api: HubApi;
  /** Gets the names of what has arrived. */
  readonly #onDone: (names: string[]) => void;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #done: number[] = [];
  #shown = false;

  constructor(api: HubApi, onDone: (names: string[]) => void) {
    this.#api = api;
    this.#onDone = onDone;
  }

  get jobs(): JobView[] {
    return this.list?.jobs ?? [];
  }

  /** Keeps reading the list until `leave`, and then until nothing moves any more. */
  async watch(): Promise<void> {
    this.#shown = true;
    await this.look();
  }

  leave(): void {
    this.#shown = false;
  }

  /** Reads the list, and again while something moves or it is shown. */
  async look(): Promise<void> {
    await this.refresh();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const active = this.jobs.some((job) => job.state === 'running' || job.state === 'queued');
    if (!this.#shown && !active) return;
    this.#timer = setTimeout(() => void this.look(), active && this.#shown ? BUSY_MS : IDLE_MS);
  }

  async refresh(): Promise<void> {
    try {
      const first = this.list === null;
      this.list = await this.#api.downloads();
      const done = this.jobs.filter((job) => job.state === 'done');
      const arrived = done.filter((job) => !this.#done.includes(job.id));
      if (!first && arrived.length > 0) this.#onDone(arrived.map((job) => job.name));
      this.#done = done.map((job) => job.id);
    } catch (error) {
      this.failure = sentence(error);
    }
  }

  add(repo: string, label: string): Promise<void> {
    return this.#act(() => this.#api.add(repo, label));
  }
  pause(id: number): Promise<void> {
    return this.#act(() => this.#api.pause(id));
  }
  resume(id: number): Promise<void> {
    return this.#act(() => this.#api.resume(id));
  }
  cancel(id: number): Promise<void> {
    return this.#act(() => this.#api.cancelDownload(id));
  }
  clearDone(): Promise<void> {
    return this.#act(() => this.#api.clearDone());
  }
  limit(bytesPerSecond: number | null): Promise<void> {
    return this.#act(() => this.#api.limit(bytesPerSecond));
  }
  setToken(token: string): Promise<void> {
    return this.#act(() => this.#api.setToken(token));
  }

  unlockToken(): Promise<void> {
    return this.#act(() => this.#api.unlockToken());
  }

  async #act(action: () => Promise<unknown>): Promise<void> {
    try {
      await action();
      this.failure = null;
    } catch (error) {
      this.failure = sentence(error);
    }
    await this.look();
  }
}
