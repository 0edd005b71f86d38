import type { Api } from '../api';
import type { ModelEntry } from '../bindings/ModelEntry';
import type { HubApi } from '../hub/api';
import { sentence } from '../sentence';
import type { SettingsState } from './settings.svelte';

/** The models the person can load. */
export class LibraryState {
  entries = $state.raw<ModelEntry[]>([]);
  loaded = $state(false);
  failure = $state<string | null>(null);

  readonly #api: Api;
  readonly #hub: HubApi;
  readonly #settings: SettingsState;

  constructor(api: Api, hub: HubApi, settings: SettingsState) {
    this.#api = api;
    this.#hub = hub;
    this.#settings = settings;
  }

  isDemo(path: string): boolean {
    return this.entries.some((entry) => entry.demo && entry.path === path);
  }

  /** What to load at the start: the default or the last model if it is still there, else the demo model. */
  first(): string | null {
    const { default_model, last_model } = this.#settings.value;
    for (const path of [default_model, last_model]) {
      const found = this.entries.find((entry) => entry.path === path);
      if (found && !found.missing && !found.incomplete) return found.path;
    }
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

  async addFolder(): Promise<void> {
    try {
      const folder = await this.#hub.addFolder();
      if (folder === null) return;
      const folders = this.#settings.value.folders;
      if (!folders.includes(folder)) this.#settings.change({ folders: [...folders, folder] });
      this.failure = null;
    } catch (error) {
      this.failure = sentence(error);
    }
    await this.refresh();
  }

  async removeFolder(folder: string): Promise<void> {
    const folders = this.#settings.value.folders.filter((known) => known !== folder);
    this.#settings.change({ folders });
    await this.#settings.saveNow();
    await this.refresh();
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
