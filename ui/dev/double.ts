import type { Api } from '../src/api';
import type { ApiCommand } from '../src/bindings/ApiCommand';
import type { Command } from '../src/bindings/Command';
import type { DesktopEvent } from '../src/bindings/DesktopEvent';
import type { Event } from '../src/bindings/Event';
import type { GenerateRequest } from '../src/bindings/GenerateRequest';
import type { LoadRequest } from '../src/bindings/LoadRequest';
import type { ModelEntry } from '../src/bindings/ModelEntry';
import type { Settings } from '../src/bindings/Settings';
import { freshSettings } from '../src/state/settings.svelte';
import { answerTo } from './answers';
import { demoInfo, gpuHardware, largeInfo, plainHardware } from './machines';
import { Residency } from './residency';

export type Machine = 'demo' | 'gpu' | 'empty' | 'broken';

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Behaves like the desktop and its engine, with made-up figures, for looking at the pages. */
export class Double implements Api {
  /** Milliseconds per token and per load step; a script may change it. */
  pace = 28;
  readonly #machine: Machine;
  /** Sees every event before the window does. */
  witness: (event: DesktopEvent) => void = () => undefined;
  #emit: (event: DesktopEvent) => void = () => undefined;
  #running = false;
  #loaded: Residency | null = null;
  #cancelled = new Set<number>();
  #watch: ReturnType<typeof setInterval> | undefined;
  #settings: Settings;
  #models: ModelEntry[];

  constructor(machine: Machine) {
    this.#machine = machine;
    const demo = { path: demoInfo.path, name: 'Moestro demo model', bytes: demoInfo.file_bytes };
    const large = { path: largeInfo.path, name: largeInfo.name, bytes: largeInfo.file_bytes };
    this.#models = [
      { ...demo, demo: true, missing: machine === 'empty', place: null, incomplete: false, used: 0 },
      { ...large, demo: false, missing: false, place: 'cache', incomplete: false, used: 1.79e9 },
      {
        path: '/media/usb/tiny-moe',
        name: 'tiny-moe',
        bytes: 0,
        demo: false,
        missing: true,
        place: null,
        incomplete: false,
        used: 0,
      },
    ];
    const kept = localStorage.getItem('double.settings');
    this.#settings = kept ? (JSON.parse(kept) as Settings) : freshSettings();
    if (machine === 'gpu') this.#settings.last_model = large.path;
  }

  async subscribe(onEvent: (event: DesktopEvent) => void): Promise<void> {
    this.#emit = (event) => {
      this.witness(event);
      onEvent(event);
    };
  }

  async sendApi(command: ApiCommand): Promise<void> {
    await pause(200);
    this.#emit({
      type: 'api',
      event:
        command.type === 'serve'
          ? { type: 'serving', url: `http://127.0.0.1:${String(command.settings.port)}` }
          : { type: 'not_serving', problem: null },
    });
  }

  async startEngine(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    this.#emit({ type: 'engine_started', pid: 4242 });
    await pause(30);
    const hardware = this.#machine === 'gpu' ? gpuHardware : plainHardware;
    this.#tell({ type: 'ready', version: '0.1.0', hardware });
  }

  /** As if the process had been killed. */
  crash(): void {
    this.#running = false;
    this.#loaded = null;
    clearInterval(this.#watch);
    const message = 'it was ended by signal 9 (killed), which is what the system does when memory runs out';
    this.#emit({ type: 'engine_exited', message, code: null, signal: 9, expected: false });
  }

  async send(command: Command): Promise<void> {
    if (!this.#running) throw 'The engine is not running.';
    switch (command.type) {
      case 'load':
        void this.#load(command.id, command.request);
        break;
      case 'unload':
        this.#loaded = null;
        this.#tell({ type: 'unloaded', id: command.id });
        break;
      case 'generate':
        void this.#generate(command.id, command.request);
        break;
      case 'cancel':
        this.#cancelled.add(command.id);
        break;
      case 'configure': {
        const loaded = this.#loaded;
        if (!loaded) throw 'No model is loaded.';
        loaded.configure(command.memory);
        await pause(60);
        this.#tell({ type: 'configured', id: command.id, placement: loaded.placement() });
        break;
      }
      case 'count': {
        const texts = command.prompts.map((prompt) =>
          prompt.type === 'chat' ? JSON.stringify(prompt.messages) : prompt.type === 'raw' ? prompt.text : '',
        );
        const tokens = texts.map((text) => Math.ceil(text.length / 4));
        this.#tell({ type: 'counted', id: command.id, tokens });
        break;
      }
      case 'watch':
        clearInterval(this.#watch);
        if (command.hz > 0) this.#watch = setInterval(() => this.#snapshot(), 1000 / command.hz);
    }
  }

  async loadSettings(): Promise<Settings> {
    return structuredClone(this.#settings);
  }
  async saveSettings(settings: Settings): Promise<void> {
    this.#settings = settings;
    localStorage.setItem('double.settings', JSON.stringify(settings));
  }
  async listModels(): Promise<ModelEntry[]> {
    return structuredClone(this.#models);
  }
  async chooseModel(): Promise<string | null> {
    return largeInfo.path;
  }
  async forgetModel(path: string): Promise<void> {
    this.#models = this.#models.filter((entry) => entry.path !== path);
  }
  async openLink(): Promise<void> {}
  async notify(): Promise<boolean> {
    return true;
  }
  async setZoom(): Promise<void> {}
  async saveReport(name: string): Promise<string | null> {
    return name;
  }
  async closeWindow(): Promise<void> {
    window.close();
  }

  #tell(event: Event): void {
    this.#emit({ type: 'engine', event });
  }

  #snapshot(): void {
    if (this.#loaded) this.#tell({ type: 'snapshot', snapshot: this.#loaded.snapshot() });
  }

  async #load(id: number, request: LoadRequest): Promise<void> {
    this.#loaded = null;
    const large = request.model === largeInfo.path;
    const info = large ? largeInfo : demoInfo;
    const steps = large ? 40 : 6;
    for (let step = 0; step <= steps; step += 1) {
      if (!this.#running) return;
      if (this.#cancelled.has(id)) {
        this.#tell({
          type: 'failed',
          id,
          failure: { kind: 'cancelled', message: 'The load was cancelled.' },
        });
        return;
      }
      const done = (info.file_bytes * step) / steps;
      this.#tell({ type: 'load_progress', id, stage: 'weights', done, total: info.file_bytes });
      await pause(this.pace);
    }
    if (this.#machine === 'broken' || (request.model !== info.path && !large)) {
      const message = `${request.model}: tensor blk.3.ffn_gate_exps.weight ends 4,096 bytes after the end of the file; the file is not complete.`;
      this.#tell({ type: 'failed', id, failure: { kind: 'checkpoint', message } });
      return;
    }
    this.#loaded = new Residency(info, this.#machine === 'gpu' ? gpuHardware : plainHardware, request.memory);
    this.#tell({ type: 'loaded', id, model: info, placement: this.#loaded.placement() });
  }

  async #generate(id: number, request: GenerateRequest): Promise<void> {
    const loaded = this.#loaded;
    if (!loaded) {
      this.#tell({ type: 'failed', id, failure: { kind: 'request', message: 'No model is loaded.' } });
      return;
    }
    const messages = request.prompt.type === 'chat' ? request.prompt.messages : [];
    const total = messages.reduce((sum, message) => sum + Math.ceil(message.content.length / 3), 12);
    const reused = messages.length > 1 ? Math.floor(total * 0.7) : 0;
    for (let done = reused; done < total; done += Math.max(4, Math.floor(total / 6))) {
      this.#tell({ type: 'prefill_progress', id, done, total, reused });
      await pause(this.pace);
    }
    const pieces = answerTo(messages.at(-1)?.content ?? '').match(/\s*\S{1,6}/g) ?? [];
    let tokens = 0;
    let reason: 'stop' | 'cancelled' = 'stop';
    for (const text of pieces) {
      if (!this.#running) return;
      if (this.#cancelled.has(id)) {
        reason = 'cancelled';
        break;
      }
      tokens += 1;
      loaded.token(1000 / this.pace);
      this.#tell({ type: 'token', id, text, tokens });
      await pause(this.pace);
    }
    loaded.idle(total + tokens);
    const stats = {
      prompt_tokens: total,
      reused_tokens: reused,
      generated_tokens: tokens,
      prefill_ms: 84,
      first_token_ms: 112,
      decode_ms: tokens * this.pace,
      prefill_tokens_per_second: 310,
      decode_tokens_per_second: 1000 / this.pace,
      hit_rate: 0.874,
      expert_bytes_read: 12_345_678,
      seed: 42,
    };
    this.#tell({ type: 'finished', id, reason, stats });
  }
}
