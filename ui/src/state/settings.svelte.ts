import type { Api } from '../api';
import type { ChatSettings } from '../bindings/ChatSettings';
import type { MemorySettings } from '../bindings/MemorySettings';
import type { ModelSpeed } from '../bindings/ModelSpeed';
import type { Quantize } from '../bindings/Quantize';
import type { SamplingOverrides } from '../bindings/SamplingOverrides';
import type { Settings } from '../bindings/Settings';
import { sentence } from '../sentence';
import { Trailing } from './trailing';

export function automaticMemory(): MemorySettings {
  return {
    vram_budget: null,
    ram_budget: null,
    cached_experts_per_layer: null,
    experts_vram: null,
    predictive_preloading: null,
    policy: null,
    context: null,
  };
}

export function modelSampling(): SamplingOverrides {
  return {
    temperature: null,
    top_k: null,
    top_p: null,
    min_p: null,
    repetition_penalty: null,
    presence_penalty: null,
    frequency_penalty: null,
    seed: null,
  };
}

export function freshSettings(): Settings {
  return {
    theme: 'system',
    zoom: 1,
    notify: true,
    presets: [],
    sampling: modelSampling(),
    max_tokens: null,
    system_prompt: '',
    threads: null,
    memory: {},
    quantize: {},
    models: [],
    last_model: null,
    default_model: null,
    load_on_start: true,
    folders: [],
    speeds: {},
    download_limit: null,
    serve_api: false,
    api: { host: '127.0.0.1', port: 8000, api_key: null, origins: [], timeout_seconds: 3600 },
  };
}

/** A path in the Hugging Face cache without its commit: a new one is the same model. */
function anyRevision(path: string): string {
  return path.replace(/\/snapshots\/[0-9a-f]{40}(?=\/|$)/, '/snapshots/*');
}

const SAVE_DELAY_MS = 300;

/** The person's settings; every change is saved shortly after. */
export class SettingsState {
  value = $state<Settings>(freshSettings());
  failure = $state<string | null>(null);

  readonly #api: Api;
  readonly #save = new Trailing(SAVE_DELAY_MS, () => void this.saveNow());

  constructor(api: Api) {
    this.#api = api;
  }

  async load(): Promise<void> {
    try {
      this.value = { ...freshSettings(), ...(await this.#api.loadSettings()) };
      this.failure = null;
    } catch (error) {
      this.failure = sentence(error);
    }
  }

  change(patch: Partial<Settings>): void {
    Object.assign(this.value, patch);
    this.#save.call();
  }

  changeSampling(patch: Partial<SamplingOverrides>): void {
    Object.assign(this.value.sampling, patch);
    this.#save.call();
  }

  resetSampling(): void {
    this.change({ sampling: modelSampling(), max_tokens: null });
  }

  /** Keeps the settings of a chat under a name; those that had it are replaced. */
  keepPreset(name: string, settings: ChatSettings): void {
    const wanted = name.trim();
    if (wanted === '') return;
    const others = this.value.presets.filter((preset) => preset.name !== wanted);
    const presets = [...others, { name: wanted, settings: $state.snapshot(settings) }];
    presets.sort((a, b) => a.name.localeCompare(b.name));
    this.change({ presets });
  }

  dropPreset(name: string): void {
    this.change({ presets: this.value.presets.filter((preset) => preset.name !== name) });
  }

  memoryFor(path: string): MemorySettings {
    return { ...automaticMemory(), ...this.value.memory[path] };
  }

  setMemory(path: string, memory: MemorySettings): void {
    this.value.memory[path] = { ...memory };
    this.#save.call();
  }

  quantizeFor(path: string): Quantize | null {
    return this.value.quantize[path] ?? null;
  }

  /** Takes effect when the model is next loaded. */
  setQuantize(path: string, format: Quantize | null): void {
    const others = Object.entries(this.value.quantize).filter(([known]) => known !== path);
    const quantize = Object.fromEntries(others);
    this.change({ quantize: format === null ? quantize : { ...quantize, [path]: format } });
  }

  /** How fast a model should be, and was. */
  speed(path: string): ModelSpeed {
    return this.value.speeds[anyRevision(path)] ?? { estimate: null, measured: null };
  }

  /** Notes how fast a model should be, or was. */
  setSpeed(path: string, speed: Partial<ModelSpeed>): void {
    this.value.speeds[anyRevision(path)] = { ...this.speed(path), ...speed };
    this.#save.call();
  }

  /** Notes a model that loaded, newest first. The demo model is listed anyway. */
  remember(path: string, demo: boolean): void {
    const others = this.value.models.filter((known) => known !== path);
    this.change({ last_model: path, models: demo ? others : [path, ...others] });
  }

  forget(path: string): void {
    const others = Object.entries(this.value.memory).filter(([known]) => known !== path);
    const memory = Object.fromEntries(others);
    this.setQuantize(path, null);
    const unless = (model: string | null) => (model === path ? null : model);
    const last_model = unless(this.value.last_model);
    const default_model = unless(this.value.default_model);
    const models = this.value.models.filter((known) => known !== path);
    this.change({ models, memory, last_model, default_model });
  }

  async saveNow(): Promise<void> {
    this.#save.cancel();
    try {
      await this.#api.saveSettings($state.snapshot(this.value));
      this.failure = null;
    } catch (error) {
      this.failure = sentence(error);
    }
  }
}
