import type { Api } from '../api';
import type { ApiCommand } from '../bindings/ApiCommand';
import type { CloseChoice } from '../bindings/CloseChoice';
import type { Command } from '../bindings/Command';
import type { DesktopEvent } from '../bindings/DesktopEvent';
import type { Event } from '../bindings/Event';
import type { GenerationStats } from '../bindings/GenerationStats';
import type { Hardware } from '../bindings/Hardware';
import type { MemorySettings } from '../bindings/MemorySettings';
import type { MemorySnapshot } from '../bindings/MemorySnapshot';
import type { ModelEntry } from '../bindings/ModelEntry';
import type { ModelInfo } from '../bindings/ModelInfo';
import type { Placement } from '../bindings/Placement';
import type { Settings } from '../bindings/Settings';
import type { Telemetry } from '../bindings/Telemetry';
import { automaticMemory, freshSettings } from '../state/settings.svelte';

export const demoPath = '/models/demo.gguf';

/** Writes down what the window asks for; tests play the events. */
export class Recorder implements Api {
  readonly commands: Command[] = [];
  readonly apiCommands: ApiCommand[] = [];
  readonly saved: Settings[] = [];
  starts = 0;
  settings: Settings = freshSettings();
  models: ModelEntry[] = [
    {
      path: demoPath,
      name: 'Demo',
      bytes: 1000,
      demo: true,
      missing: false,
      place: null,
      incomplete: false,
      used: 0,
    },
  ];
  chosen: string | null = null;
  readonly closed: CloseChoice[] = [];
  /** When set, `send` rejects with it. */
  refusal: string | null = null;
  /** What starting the engine leads to, before `startEngine` resolves. */
  onStart: () => void = () => undefined;
  /** Sees every event before the window does. */
  witness: (event: DesktopEvent) => void = () => undefined;
  #listener: (event: DesktopEvent) => void = () => undefined;

  async subscribe(onEvent: (event: DesktopEvent) => void): Promise<void> {
    this.#listener = onEvent;
  }
  async send(command: Command): Promise<void> {
    if (this.refusal !== null) throw this.refusal;
    this.commands.push(command);
  }
  async sendApi(command: ApiCommand): Promise<void> {
    if (this.refusal !== null) throw this.refusal;
    this.apiCommands.push(command);
  }
  async startEngine(): Promise<void> {
    this.starts += 1;
    this.onStart();
  }
  async loadSettings(): Promise<Settings> {
    return structuredClone(this.settings);
  }
  async saveSettings(settings: Settings): Promise<void> {
    this.saved.push(settings);
  }
  async listModels(): Promise<ModelEntry[]> {
    return this.models;
  }
  async chooseModel(): Promise<string | null> {
    return this.chosen;
  }
  async forgetModel(path: string): Promise<void> {
    this.models = this.models.filter((entry) => entry.path !== path);
  }

  async closeWindow(choice: CloseChoice): Promise<void> {
    this.closed.push(choice);
  }

  readonly links: string[] = [];
  readonly told: [string, string][] = [];
  readonly zooms: number[] = [];
  readonly reports: [string, string][] = [];
  async openLink(address: string): Promise<void> {
    if (this.refusal !== null) throw this.refusal;
    this.links.push(address);
  }
  async notify(title: string, body: string): Promise<boolean> {
    this.told.push([title, body]);
    return true;
  }
  async setZoom(factor: number): Promise<void> {
    this.zooms.push(factor);
  }
  async saveReport(name: string, text: string): Promise<string | null> {
    this.reports.push([name, text]);
    return `/home/ada/${name}`;
  }

  play(event: DesktopEvent): void {
    this.witness(event);
    this.#listener(event);
  }
  tell(event: Event): void {
    this.play({ type: 'engine', event });
  }
  ready(): void {
    this.play({ type: 'engine_started', pid: 7 });
    this.tell({ type: 'ready', version: '0.1.0', hardware });
  }
  exit(message = 'it was killed (signal 9)'): void {
    this.play({ type: 'engine_exited', message, code: null, signal: 9, expected: false });
  }

  of<T extends Command['type']>(type: T): Extract<Command, { type: T }>[] {
    return this.commands.filter((command) => command.type === type) as Extract<Command, { type: T }>[];
  }
  last<T extends Command['type']>(type: T): Extract<Command, { type: T }> {
    const found = this.of(type).at(-1);
    if (!found) throw new Error(`no ${type} was sent`);
    return found;
  }
}

export const hardware: Hardware = {
  cpu: 'A processor',
  physical_cores: 2,
  logical_cores: 4,
  cpu_features: ['AVX2'],
  kernels: 'AVX2',
  ram_total: 8e9,
  ram_available: 6e9,
  gpus: [],
  gpu_note: 'No driver was found.',
};

export const info: ModelInfo = {
  name: 'Demo',
  path: demoPath,
  source: 'gguf',
  architecture: 'qwen3_next',
  parameters: 18_000_000,
  file_bytes: 20_000_000,
  layers: 2,
  moe_layers: 2,
  experts_per_layer: 4,
  experts_per_token: 2,
  expert_bytes: 1000,
  vocabulary: 512,
  max_context: 2048,
  formats: 'Q8_0 100%',
  skipped: [],
};

export const stats: GenerationStats = {
  prompt_tokens: 20,
  reused_tokens: 8,
  generated_tokens: 5,
  prefill_ms: 40,
  first_token_ms: 55,
  decode_ms: 100,
  prefill_tokens_per_second: 300,
  decode_tokens_per_second: 40,
  hit_rate: 0.5,
  expert_bytes_read: 0,
  seed: 1,
};

export function placement(settings: Partial<MemorySettings> = {}): Placement {
  return {
    rows: [
      { component: 'attention', tier: 'ram', bytes: 4_000_000 },
      { component: 'expert_slots', tier: 'ram', bytes: 6_000_000 },
      { component: 'remaining_experts', tier: 'disk', bytes: 2_000_000 },
    ],
    tiers: [
      { tier: 'vram', budget: 0, used: 0 },
      { tier: 'ram', budget: 10_000_000, used: 10_000_000 },
      { tier: 'disk', budget: 20_000_000, used: 2_000_000 },
    ],
    gpu: { layers: 0, embeddings: false, head: false, experts: 0 },
    experts_per_layer: settings.cached_experts_per_layer ?? 4,
    experts_total: 4,
    experts_min: 1,
    experts_max: 4,
    ram_min: 5_000_000,
    ram_max: 12_000_000,
    context: 1024,
    max_context: 2048,
    fits: true,
    notes: [],
    vram_note: 'No driver was found.',
    settings: { ...automaticMemory(), ...settings },
  };
}

export const telemetry: Telemetry = {
  swap_p50_us: 0,
  swap_p95_us: 0,
  queue_depth: 0,
  disk_bytes_per_second: 0,
  ram_bytes_per_second: 0,
  direct_io: true,
  policy: 'learned',
  held_back: 0,
  vram_held_back: 0,
  leaving: 0,
  look_ahead: null,
  preloading: 'off',
  profile_tokens: 0,
};

export function snapshot(time_ms: number, patch: Partial<MemorySnapshot> = {}): MemorySnapshot {
  return {
    time_ms,
    rows: placement().rows,
    tiers: placement().tiers,
    process_bytes: 50_000_000,
    ram_available: 5e9,
    gpus: [],
    layers: [],
    heat: '',
    totals: { uses: 0, hits: 0, misses: 0, bytes_read: 0, wait_us: 0, computed_bytes: 0, tokens: 0 },
    telemetry,
    forecast: null,
    tokens_per_second: 0,
    hit_rate: 0,
    generating: false,
    context_used: 0,
    context: 1024,
    ...patch,
  };
}
