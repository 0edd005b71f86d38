import type { Api } from '../api';
import type { ModelEntry } from '../bindings/ModelEntry';
import { sentence } from '../sentence';
import type { SettingsState } from './settings.svelte';

/** The models the person can load. */
export class LibraryState {
  entries = $state.raw<ModelEntry[]>([]);
  loaded = $state(false);
  failure = $state<string | null>(null);

  readonly #api: Api;
  readonly #settings: SettingsState;

  constructor(api: Api, settings: SettingsState) {
    this.#api = api;
    this.#settings = settings;
  }

  isDemo(path: string): boolean {
    return this.entries.some((entry) => entry.demo && entry.path === path);
  }

  /** What to load at the start: the last model if it is still there, else the demo model. */
  first(): string | null {
    const last = this.entries.find((entry) => entry.path === this.#settings.value.last_model);
    if (last && !last.missing) return last.path;
    return this.entries.find((entry) => entry.demo && !entry.missing)?.path ?? null;
  }

  async refresh(): Promise<void> {
    try {
      this.entries = await this.#api.listModels();
      this.failure = null;
    } catch (error) {
      this.failure = sentence(error);
    }
    this.loaded = true;
  }

  async choose(folder: boolean): Promise<string | null> {
    try {
      const path = await this.#api.chooseModel(folder);
      this.failure = null;
      return path;
    } catch (error) {
      this.failure = sentence(error);
      return null;
    }
  }

  async forget(path: string): Promise<void> {
    try {
      await this.#api.forgetModel(path);
      this.#settings.forget(path);
      await this.#settings.saveNow();
    } catch (error) {
      this.failure = sentence(error);
      return;
    }
    await this.refresh();
  }
}
