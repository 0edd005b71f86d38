import type { RepositoryView } from '../bindings/RepositoryView';
import type { SearchResult } from '../bindings/SearchResult';
import type { Suggestion } from '../bindings/Suggestion';
import type { VariantView } from '../bindings/VariantView';
import type { Verdict } from '../bindings/Verdict';
import { sentence } from '../sentence';
import type { SettingsState } from '../state/settings.svelte';
import type { HubApi } from './api';

export interface Judged {
  verdict: Verdict | null;
  failure: string | null;
}

/** Looking for models: the curated list, a search, and one repository. */
export class FindState {
  suggestions = $state.raw<Suggestion[]>([]);
  words = $state('');
  /** The words of the results shown. */
  searched = $state('');
  results = $state.raw<SearchResult[] | null>(null);
  searching = $state(false);
  /** Name of the repository that is open or opening. */
  repo = $state<string | null>(null);
  repository = $state.raw<RepositoryView | null>(null);
  card = $state<string | null>(null);
  /** By variant; absent while nothing was asked, null while it is read. */
  judged = $state<Record<string, Judged | null>>({});
  failure = $state<string | null>(null);

  readonly #api: HubApi;
  readonly #settings: SettingsState;
  /** Answers to earlier questions are not shown. */
  #question = 0;

  constructor(api: HubApi, settings: SettingsState) {
    this.#api = api;
    this.#settings = settings;
  }

  async begin(): Promise<void> {
    if (this.suggestions.length > 0) return;
    try {
      this.suggestions = await this.#api.catalog();
    } catch (error) {
      this.failure = sentence(error);
    }
  }

  async search(): Promise<void> {
    const words = this.words.trim();
    const question = ++this.#question;
    this.#close();
    this.failure = null;
    if (words === '') {
      this.results = null;
      this.searching = false;
      return;
    }
    this.searching = true;
    try {
      const results = await this.#api.search(words);
      if (question !== this.#question) return;
      this.results = results;
      this.searched = words;
    } catch (error) {
      if (question === this.#question) this.failure = sentence(error);
    }
    if (question === this.#question) this.searching = false;
  }

  async open(repo: string): Promise<void> {
    const question = ++this.#question;
    this.#close();
    this.searching = false;
    this.repo = repo;
    this.failure = null;
    try {
      const repository = await this.#api.repository(repo);
      if (question !== this.#question) return;
      this.repository = repository;
      const card = await this.#api.card(repo).catch(() => '');
      if (question === this.#question) this.card = card;
    } catch (error) {
      if (question === this.#question) this.failure = sentence(error);
    }
  }

  /** Reads again what is here already of each variant. */
  async refresh(): Promise<void> {
    if (this.repo === null || this.repository === null) return;
    const question = this.#question;
    try {
      const repository = await this.#api.repository(this.repo);
      if (question === this.#question) this.repository = repository;
    } catch {
      // What is shown stays.
    }
  }

  back(): void {
    this.#question += 1;
    this.#close();
    this.failure = null;
  }

  /** With the settings that the model would be loaded with. */
  async judge(variant: VariantView): Promise<Verdict | null> {
    const { label, path } = variant;
    const repo = this.repo;
    if (repo === null) return null;
    // An earlier verdict stays until the new one is here, so that nothing jumps.
    if (!this.judged[label]?.verdict) this.judged[label] = null;
    const question = this.#question;
    let judged: Judged;
    try {
      judged = { verdict: await this.#ask(repo, label, path), failure: null };
    } catch (error) {
      judged = { verdict: null, failure: sentence(error) };
    }
    if (question === this.#question) this.judged[label] = judged;
    return judged.verdict;
  }

  #ask(repo: string, label: string, path: string): Promise<Verdict> {
    const { threads } = this.#settings.value;
    return this.#api.judge(repo, label, this.#settings.memoryFor(path), threads);
  }

  #close(): void {
    this.repo = null;
    this.repository = null;
    this.card = null;
    this.judged = {};
  }
}
