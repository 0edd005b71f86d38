import type { Api } from '../api';
import type { ApiEvent } from '../bindings/ApiEvent';
import type { ApiSettings } from '../bindings/ApiSettings';
import type { DesktopEvent } from '../bindings/DesktopEvent';
import type { RequestSeen } from '../bindings/RequestSeen';
import { sentence } from '../sentence';
import type { SettingsState } from '../state/settings.svelte';

/** Requests that are kept for the list. */
const MOST_REQUESTS = 200;

/** The API server in the engine's process: is it on, and who asks it. */
export class ServerState {
  /** Where it can be reached; null while it is off. */
  url = $state<string | null>(null);
  /** Between the switch and the server's answer. */
  changing = $state(false);
  /** Why it could not start. */
  problem = $state<string | null>(null);
  /** Newest first. */
  requests = $state.raw<RequestSeen[]>([]);

  readonly #api: Api;
  readonly #settings: SettingsState;
  /** The settings that the server was last started with, as JSON. */
  #applied = $state<string | null>(null);

  constructor(api: Api, settings: SettingsState) {
    this.#api = api;
    this.#settings = settings;
  }

  get on(): boolean {
    return this.#settings.value.serve_api;
  }

  get settings(): ApiSettings {
    return this.#settings.value.api;
  }

  /** Is there something that another start would change? */
  get stale(): boolean {
    return this.on && (this.problem !== null || this.#applied !== JSON.stringify(this.settings));
  }

  /** Switches it, now and for every start. */
  async turn(on: boolean): Promise<void> {
    this.#settings.change({ serve_api: on });
    await this.apply();
  }

  change(patch: Partial<ApiSettings>): void {
    this.#settings.change({ api: { ...this.settings, ...patch } });
  }

  /** Brings the server to what the settings say. */
  async apply(): Promise<void> {
    this.problem = null;
    this.changing = true;
    const settings = { ...this.settings };
    this.#applied = this.on ? JSON.stringify(settings) : null;
    try {
      await this.#api.sendApi(this.on ? { type: 'serve', settings } : { type: 'stop_serving' });
    } catch (error) {
      this.changing = false;
      this.problem = sentence(error);
    }
  }

  /** Takes what is done off the list. */
  clear(): void {
    this.requests = this.requests.filter((request) => !request.done);
  }

  receive(event: DesktopEvent): void {
    if (event.type === 'engine_exited' || event.type === 'engine_started') {
      this.url = null;
      this.changing = false;
      this.requests = this.requests.filter((request) => request.done);
    } else if (event.type === 'engine' && event.event.type === 'ready') {
      if (this.on && this.url === null) void this.apply();
    } else if (event.type === 'api') {
      this.#receive(event.event);
    }
  }

  #receive(event: ApiEvent): void {
    switch (event.type) {
      case 'serving':
        this.url = event.url;
        this.changing = false;
        this.problem = null;
        break;
      case 'not_serving':
        this.url = null;
        this.changing = false;
        this.problem = event.problem;
        break;
      case 'request_seen':
        this.#note(event.request);
    }
  }

  #note(seen: RequestSeen): void {
    // Numbers begin anew with every server.
    const same = (old: RequestSeen) => old.number === seen.number && old.at === seen.at;
    const at = this.requests.findIndex(same);
    this.requests =
      at === -1 ? [seen, ...this.requests].slice(0, MOST_REQUESTS) : this.requests.with(at, seen);
  }
}
