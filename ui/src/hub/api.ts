// What the window asks about the Hub, downloads and the models on this machine.
import type { Checked } from '../bindings/Checked';
import type { DownloadList } from '../bindings/DownloadList';
import type { MemorySettings } from '../bindings/MemorySettings';
import type { RepositoryView } from '../bindings/RepositoryView';
import type { SearchResult } from '../bindings/SearchResult';
import type { Suggestion } from '../bindings/Suggestion';
import type { Verdict } from '../bindings/Verdict';

/** Every promise rejects with a sentence. */
export interface HubApi {
  /** Models that suit Moestro, known without the network. */
  catalog(): Promise<Suggestion[]>;
  search(words: string): Promise<SearchResult[]>;
  repository(repo: string): Promise<RepositoryView>;
  /** The repository's card as plain text. */
  card(repo: string): Promise<string>;
  /** How a variant would run here with these settings, from its headers alone. */
  judge(repo: string, label: string, memory: MemorySettings, threads: number | null): Promise<Verdict>;

  add(repo: string, label: string): Promise<number>;
  downloads(): Promise<DownloadList>;
  pause(id: number): Promise<void>;
  resume(id: number): Promise<void>;
  /** Removes unfinished files; resolves to the bytes freed. */
  cancelDownload(id: number): Promise<number>;
  clearDone(): Promise<void>;
  /** Bytes per second; null lifts the limit. */
  limit(bytesPerSecond: number | null): Promise<void>;
  /** Empty forgets it. */
  setToken(token: string): Promise<void>;
  /** Lets the person unlock the keyring that holds it. */
  unlockToken(): Promise<void>;

  /** A native dialog; null if it was closed without a choice. */
  addFolder(): Promise<string | null>;
  /** Reads every byte; tells the share that is done. */
  verify(path: string, onProgress: (share: number) => void): Promise<Checked>;
  stopVerifying(): Promise<void>;
  /** Bytes that deleting would free. */
  removal(path: string): Promise<number>;
  remove(path: string): Promise<number>;
  reveal(path: string): Promise<void>;
}
