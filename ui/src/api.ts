// The way to the Rust side. No other file touches Tauri.
import { Channel, invoke } from '@tauri-apps/api/core';
import type { Command } from './bindings/Command';
import type { DesktopEvent } from './bindings/DesktopEvent';
import type { ModelEntry } from './bindings/ModelEntry';
import type { Settings } from './bindings/Settings';

/** What the window asks of the desktop; every promise rejects with a sentence. */
export interface Api {
  /** One stream of everything that happens; it begins with the present state. */
  subscribe(onEvent: (event: DesktopEvent) => void): Promise<void>;
  /** To the engine; rejects if none is running. */
  send(command: Command): Promise<void>;
  /** Does nothing if the engine is running. */
  startEngine(): Promise<void>;
  loadSettings(): Promise<Settings>;
  saveSettings(settings: Settings): Promise<void>;
  /** The demo model first, then what the person opened. */
  listModels(): Promise<ModelEntry[]>;
  /** A native dialog; null if it was closed without a choice. */
  chooseModel(folder: boolean): Promise<string | null>;
  forgetModel(path: string): Promise<void>;
}

export const desktop: Api = {
  subscribe: (onEvent) => invoke('subscribe', { onEvent: new Channel<DesktopEvent>(onEvent) }),
  send: (command) => invoke('send', { command }),
  startEngine: () => invoke('start_engine'),
  loadSettings: () => invoke<Settings>('load_settings'),
  saveSettings: (settings) => invoke('save_settings', { settings }),
  listModels: () => invoke<ModelEntry[]>('list_models'),
  chooseModel: (folder) => invoke<string | null>('choose_model', { folder }),
  forgetModel: (path) => invoke('forget_model', { path }),
};
