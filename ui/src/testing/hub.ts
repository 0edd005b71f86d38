import type { Checked } from '../bindings/Checked';
import type { DownloadList } from '../bindings/DownloadList';
import type { JobView } from '../bindings/JobView';
import type { MemorySettings } from '../bindings/MemorySettings';
import type { RepositoryView } from '../bindings/RepositoryView';
import type { SearchResult } from '../bindings/SearchResult';
import type { Suggestion } from '../bindings/Suggestion';
import type { TokenPlace } from '../bindings/TokenPlace';
import type { Verdict } from '../bindings/Verdict';
import type { HubApi } from '../hub/api';
import { info, placement } from './recorded';

export const repo = 'org/Model-80B-GGUF';

const found = {
  repo,
  downloads: 12_345,
  likes: 67,
  gated: false,
  updated: '2026-02-03',
  license: 'apache-2.0',
  model_type: null,
  gguf: true,
};

export function job(patch: Partial<JobView> = {}): JobView {
  return {
    id: 1,
    name: `${repo}: Q4_K_M`,
    repo,
    state: 'running',
    total: 48_000_000_000,
    present: 12_000_000_000,
    bytes_per_second: 25_000_000,
    seconds_left: 1440,
    phase: { phase: 'downloading' },
    file: 'Model-80B-Q4_K_M.gguf',
    file_number: 1,
    files: 1,
    path: '/cache/Model-80B-Q4_K_M.gguf',
    ...patch,
  } as JobView;
}

/** Answers like the desktop and notes what was asked. */
export class RecordedHub implements HubApi {
  readonly asked: string[] = [];
  jobs: JobView[] = [];
  token: TokenPlace = { place: 'nowhere' };
  /** When set, every question is refused with it. */
  refusal: string | null = null;
  verdict: Verdict = {
    fit: 'with_disk',
    model: info,
    placement: placement(),
    longest_context: 65_536,
    tokens_per_second: 9.25,
    hit_rate: 0.7,
    bandwidth: { memory: 20e9, disk: 2e9 },
  };

  async #ask<T>(question: string, answer: T): Promise<T> {
    this.asked.push(question);
    if (this.refusal !== null) throw this.refusal;
    return answer;
  }

  catalog(): Promise<Suggestion[]> {
    const source = { repo, format: 'gguf', suggested: 'Q4_K_M', approximate_bytes: 48_000_000_000 };
    const suggestion = {
      name: 'Model 80B',
      summary: 'A large model.',
      model_type: 'qwen3_next',
      license: 'apache-2.0',
      total_parameters: 80e9,
      active_parameters: 3e9,
      sources: [source],
    };
    return this.#ask('catalog', [suggestion]);
  }
  search(words: string): Promise<SearchResult[]> {
    const other = { ...found, repo: 'org/other', model_type: 'llama', gguf: false };
    return this.#ask(`search ${words}`, [
      { found, unsupported: null },
      { found: other, unsupported: 'llama is not supported yet' },
    ]);
  }
  repository(name: string): Promise<RepositoryView> {
    const variant = {
      label: 'Q4_K_M',
      container: 'gguf' as const,
      bytes: 48_000_000_000,
      present: 0,
      files: 1,
      unsupported: null,
      path: '/cache/Model-80B-Q4_K_M.gguf',
    };
    const small = { ...variant, label: 'IQ2_XXS', unsupported: 'IQ2_XXS weights are not supported yet' };
    return this.#ask(`repository ${name}`, {
      found,
      commit: '1'.repeat(40),
      page: `https://huggingface.co/${name}`,
      variants: [variant, small],
    });
  }
  card(name: string): Promise<string> {
    return this.#ask(`card ${name}`, '# A model\n\nIt is large.');
  }
  judge(name: string, label: string, memory: MemorySettings): Promise<Verdict> {
    const limits = [memory.ram_budget, memory.cached_experts_per_layer, memory.context];
    const set = limits.filter((limit) => limit !== null);
    return this.#ask([`judge ${name} ${label}`, ...set].join(' '), this.verdict);
  }

  add(name: string, label: string): Promise<number> {
    this.jobs = [job()];
    return this.#ask(`add ${name} ${label}`, 1);
  }
  downloads(): Promise<DownloadList> {
    const list = { jobs: this.jobs, limit: null, free: 500e9, folder: '/cache', token: this.token };
    return this.#ask('downloads', list);
  }
  pause(id: number): Promise<void> {
    this.jobs = [job({ state: 'paused' } as Partial<JobView>)];
    return this.#ask(`pause ${id}`, undefined);
  }
  resume(id: number): Promise<void> {
    this.jobs = [job()];
    return this.#ask(`resume ${id}`, undefined);
  }
  cancelDownload(id: number): Promise<number> {
    this.jobs = [];
    return this.#ask(`cancel ${id}`, 0);
  }
  clearDone(): Promise<void> {
    this.jobs = [];
    return this.#ask('clear', undefined);
  }
  limit(bytesPerSecond: number | null): Promise<void> {
    return this.#ask(`limit ${bytesPerSecond}`, undefined);
  }
  setToken(token: string): Promise<void> {
    this.token = { place: token === '' ? 'nowhere' : 'keyring' };
    return this.#ask(`token ${token}`, undefined);
  }
  unlockToken(): Promise<void> {
    this.token = { place: 'keyring' };
    return this.#ask('unlock', undefined);
  }

  addFolder(): Promise<string | null> {
    return this.#ask('folder', '/home/you/models');
  }
  verify(path: string, onProgress: (share: number) => void): Promise<Checked> {
    onProgress(1);
    return this.#ask(`verify ${path}`, { good: 1, damaged: [], unknown: 0 });
  }
  stopVerifying(): Promise<void> {
    return this.#ask('stop', undefined);
  }
  removal(path: string): Promise<number> {
    return this.#ask(`removal ${path}`, 5_000_000);
  }
  remove(path: string): Promise<number> {
    return this.#ask(`remove ${path}`, 5_000_000);
  }
  reveal(path: string): Promise<void> {
    return this.#ask(`reveal ${path}`, undefined);
  }
}
