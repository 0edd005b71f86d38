// The way to the Rust side. No other file touches Tauri.
import { Channel, invoke } from '@tauri-apps/api/core';
import type { ApiCommand } from './bindings/ApiCommand';
import type { CloseChoice } from './bindings/CloseChoice';
import type { Command } from './bindings/Command';
import type { DesktopEvent } from './bindings/DesktopEvent';
import type { ModelEntry } from './bindings/ModelEntry';
import type { Settings } from './bindings/Settings';
import type { ChatsApi } from './chat/api';
import type { HubApi } from './hub/api';

/** What the window asks of the desktop; every promise rejects with a sentence. */
export interface Api {
  /** One stream of everything that happens; it begins with the present state. */
  subscribe(onEvent: (event: DesktopEvent) => void): Promise<void>;
  /** To the engine; rejects if none is running. */
  send(command: Command): Promise<void>;
  /** Switches the API server; the engine's process must run. */
  sendApi(command: ApiCommand): Promise<void>;
  /** Does nothing if the engine is running. */
  startEngine(): Promise<void>;
  loadSettings(): Promise<Settings>;
  saveSettings(settings: Settings): Promise<void>;
  /** The demo model first, then what the person opened. */
  listModels(): Promise<ModelEntry[]>;
  /** A native dialog; null if it was closed without a choice. */
  chooseModel(folder: boolean): Promise<string | null>;
  forgetModel(path: string): Promise<void>;
  /** In the person's browser; http and https only. */
  openLink(address: string): Promise<void>;
  /** A message outside of the window; false where the desktop shows none. */
  notify(title: string, body: string): Promise<boolean>;
  setZoom(factor: number): Promise<void>;
  /** Asks where to; null if the person changed their mind. */
  saveReport(name: string, text: string): Promise<string | null>;
  /** What to do about a window that was closed while downloads run. */
  closeWindow(choice: CloseChoice): Promise<void>;
}

export const desktop: Api = {
  subscribe: (onEvent) => invoke('subscribe', { onEvent: new Channel<DesktopEvent>(onEvent) }),
  send: (command) => invoke('send', { command }),
  sendApi: (command) => invoke('send_api', { command }),
  startEngine: () => invoke('start_engine'),
  loadSettings: () => invoke<Settings>('load_settings'),
  saveSettings: (settings) => invoke('save_settings', { settings }),
  listModels: () => invoke<ModelEntry[]>('list_models'),
  chooseModel: (folder) => invoke<string | null>('choose_model', { folder }),
  forgetModel: (path) => invoke('forget_model', { path }),
  openLink: (address) => invoke('open_link', { address }),
  notify: (title, body) => invoke<boolean>('notify', { title, body }),
  setZoom: (factor) => invoke('set_zoom', { factor }),
  saveReport: (name, text) => invoke<string | null>('save_report', { name, text }),
  closeWindow: (choice) => invoke('close_window', { choice }),
};

export const desktopChats: ChatsApi = {
  list: () => invoke('chat_list'),
  open: (chat) => invoke('chat_open', { chat }),
  create: () => invoke('chat_new'),
  branch: (message) => invoke('chat_branch', { message }),
  change: (chat, change) => invoke('chat_change', { chat, change }),
  search: (words) => invoke('chat_search', { words }),
  foreignChanges: () => invoke('chat_foreign_changes'),
  exportTo: (chat, form) => invoke('chat_export', { chat, form }),
  importFile: () => invoke('chat_import'),
  importText: (text) => invoke('chat_import_text', { text }),
  answer: (asked) => invoke('chat_answer', { asked }),
};

export const desktopHub: HubApi = {
  catalog: () => invoke('hub_catalog'),
  search: (words) => invoke('hub_search', { words }),
  repository: (repo) => invoke('hub_repository', { repo }),
  card: (repo) => invoke('hub_card', { repo }),
  judge: (repo, label, memory, threads) => invoke('hub_judge', { repo, label, memory, threads }),

  add: (repo, label) => invoke('download_add', { repo, label }),
  downloads: () => invoke('download_list'),
  pause: (id) => invoke('download_pause', { id }),
  resume: (id) => invoke('download_resume', { id }),
  cancelDownload: (id) => invoke('download_cancel', { id }),
  clearDone: () => invoke('download_clear'),
  limit: (bytesPerSecond) => invoke('download_limit', { bytesPerSecond }),
  setToken: (token) => invoke('hub_token', { token }),
  unlockToken: () => invoke('hub_token_unlock'),

  addFolder: () => invoke('add_models_folder'),
  verify: (path, onProgress) =>
    invoke('library_verify', { path, onProgress: new Channel<number>(onProgress) }),
  stopVerifying: () => invoke('library_verify_stop'),
  removal: (path) => invoke('library_removal', { path }),
  remove: (path) => invoke('library_remove', { path }),
  reveal: (path) => invoke('library_reveal', { path }),
};
