import type { Forecast } from '../src/bindings/Forecast';
import type { Hardware } from '../src/bindings/Hardware';
import type { MemorySettings } from '../src/bindings/MemorySettings';
import type { MemorySnapshot } from '../src/bindings/MemorySnapshot';
import type { ModelInfo } from '../src/bindings/ModelInfo';
import type { Placement } from '../src/bindings/Placement';
import type { PlacementRow } from '../src/bindings/PlacementRow';
import type { TierUse } from '../src/bindings/TierUse';

const FIXED: [PlacementRow['component'], number][] = [
  ['embeddings', 0.16],
  ['attention', 0.14],
  ['delta_net', 0.27],
  ['routers', 0.03],
  ['norms', 0.004],
  ['shared_experts', 0.1],
  ['output_head', 0.16],
  ['session_state', 0.11],
  ['activations', 0.03],
];

/** Made-up experts that come and go as if a model were routing. */
export class Residency {
  readonly #info: ModelInfo;
  readonly #gpu: boolean;
  readonly #hardware: Hardware;
  #settings: MemorySettings;
  #cells: Uint8Array;
  #totals = { uses: 0, hits: 0, misses: 0, bytes_read: 0, wait_us: 0, computed_bytes: 0, tokens: 0 };
  #speed = 0;
  #context = 0;
  #hits: number[];

  constructor(info: ModelInfo, hardware: Hardware, settings: MemorySettings) {
    this.#info = info;
    this.#hardware = hardware;
    this.#gpu = hardware.gpus.length > 0;
    this.#settings = settings;
    this.#cells = new Uint8Array(info.moe_layers * info.experts_per_layer);
    this.#hits = Array.from({ length: info.moe_layers }, () => 0);
    this.#fill();
  }

  get #fixed(): number {
    return this.#info.file_bytes * 0.07;
  }
  get #slotBytes(): number {
    return this.#info.expert_bytes * this.#info.moe_layers;
  }
  get #ramBudget(): number {
    return this.#settings.ram_budget ?? this.#hardware.ram_available * 0.9;
  }
  get #experts(): number {
    const most = Math.floor((this.#ramBudget - this.#fixed) / this.#slotBytes);
    const wanted = this.#settings.cached_experts_per_layer ?? this.#info.experts_per_layer;
    return Math.max(1, Math.min(wanted, most, this.#info.experts_per_layer));
  }

  configure(settings: MemorySettings): void {
    this.#settings = settings;
    this.#fill();
  }

  #fill(): void {
    const { experts_per_layer: columns, moe_layers: rows } = this.#info;
    for (let row = 0; row < rows; row += 1) {
      let resident = 0;
      for (let column = 0; column < columns; column += 1) {
        const index = row * columns + ((column * 7 + row * 3) % columns);
        const use = (this.#cells[index] ?? 0) & 0x3f;
        const keep = resident < this.#experts;
        const vram = this.#gpu && resident < this.#experts / 5;
        this.#cells[index] = (keep ? (vram ? 0x40 : 0x80) : 0) | use;
        if (keep) resident += 1;
      }
    }
  }

  token(speed: number): void {
    const { experts_per_layer: columns, moe_layers: rows, experts_per_token: used } = this.#info;
    this.#speed = speed * (0.9 + Math.random() * 0.2);
    this.#totals.tokens += 1;
    for (let index = 0; index < this.#cells.length; index += 1) {
      const cell = this.#cells[index] ?? 0;
      const use = cell & 0x3f;
      if (use > 0) this.#cells[index] = (cell & 0xc0) | Math.max(1, Math.floor(use * 0.93));
    }
    for (let row = 0; row < rows; row += 1) {
      for (let count = 0; count < used; count += 1) {
        const column = Math.floor(Math.random() ** 2 * columns);
        const index = row * columns + ((column * 7 + row * 3) % columns);
        const cell = this.#cells[index] ?? 0;
        const hit = (cell & 0xc0) !== 0;
        this.#totals.uses += 1;
        this.#totals[hit ? 'hits' : 'misses'] += 1;
        if (hit) this.#hits[row] = (this.#hits[row] ?? 0) + 1;
        else this.#totals.bytes_read += this.#info.expert_bytes;
        if (!hit) this.#totals.wait_us += 420;
        this.#cells[index] = (cell & 0xc0) | 0x3f;
      }
    }
  }

  idle(context: number): void {
    this.#speed = 0;
    this.#context = context;
  }

  #rows(): PlacementRow[] {
    const tier = this.#gpu ? 'vram' : 'ram';
    const rows: PlacementRow[] = FIXED.map(([component, share]) => ({
      component,
      tier,
      bytes: share * this.#fixed,
    }));
    const slots = this.#slotBytes * this.#experts;
    if (this.#gpu) {
      rows.push({ component: 'expert_slots', tier: 'vram', bytes: slots / 5 });
      rows.push({ component: 'expert_slots', tier: 'ram', bytes: (slots * 4) / 5 });
    } else rows.push({ component: 'expert_slots', tier: 'ram', bytes: slots });
    const rest = this.#slotBytes * (this.#info.experts_per_layer - this.#experts);
    if (rest > 0) rows.push({ component: 'remaining_experts', tier: 'disk', bytes: rest });
    return rows;
  }

  #tiers(): TierUse[] {
    const used = (tier: string) =>
      this.#rows().reduce((sum, row) => sum + (row.tier === tier ? row.bytes : 0), 0);
    const vram = this.#settings.vram_budget ?? (this.#gpu ? 11e9 : 0);
    return [
      { tier: 'vram', budget: vram, used: used('vram') },
      { tier: 'ram', budget: this.#ramBudget, used: used('ram') },
      { tier: 'disk', budget: this.#info.file_bytes, used: used('disk') },
    ];
  }

  placement(): Placement {
    const { experts_per_layer: total } = this.#info;
    const cut = (this.#settings.cached_experts_per_layer ?? 0) > this.#experts;
    return {
      rows: this.#rows(),
      tiers: this.#tiers(),
      gpu: { layers: 0, embeddings: false, head: false, experts: 0 },
      experts_per_layer: this.#experts,
      experts_total: total,
      experts_min: 1,
      experts_max: Math.min(total, Math.floor((this.#ramBudget - this.#fixed) / this.#slotBytes)),
      ram_min: Math.ceil(this.#fixed + this.#slotBytes),
      ram_max: Math.ceil(this.#fixed + this.#slotBytes * total),
      context: Math.min(this.#info.max_context, 32_768),
      max_context: this.#info.max_context,
      fits: true,
      notes: cut ? [`The RAM budget holds ${this.#experts} experts per layer, so that is what is used.`] : [],
      vram_note: this.#gpu ? '' : this.#hardware.gpu_note,
      settings: this.#settings,
    };
  }

  #forecast(): Forecast {
    const { experts_per_layer: total } = this.#info;
    const speed = (slots: number) => 20 / (1 + 3 * (1 - slots / total) ** 2);
    const steps = Array.from({ length: 17 }, (_, step) => step / 16);
    const point = (share: number, value: number) => ({
      value,
      slots: Math.round(share * total),
      hit_rate: share,
      tokens_per_second: speed(share * total),
    });
    const now = speed(this.#experts);
    return {
      tokens: 512,
      tokens_per_second: now,
      measured: now * 0.98,
      ram: steps.map((share) => point(share, Math.round(this.#fixed + this.#slotBytes * total * share))),
      experts: steps.map((share) => point(share, Math.max(1, Math.round(total * share)))),
      context: steps.map((share) => point(1 - share / 2, Math.round(this.#info.max_context * share))),
      vram: [],
      bottleneck: `41% of a token is waiting for experts from disk: 1.00 GiB more RAM would bring ${now.toFixed(1)} to ${(now * 1.1).toFixed(1)} tokens/s.`,
      applied: { before: now * 0.8, predicted: now, measured: now * 0.97, tokens: 64 },
    };
  }

  snapshot(): MemorySnapshot {
    const { experts_per_layer: columns, moe_layers: rows } = this.#info;
    const { hits, misses, bytes_read, wait_us } = this.#totals;
    return {
      time_ms: Math.round(performance.now()),
      rows: this.#rows(),
      tiers: this.#tiers(),
      process_bytes: this.#fixed + this.#slotBytes * this.#experts + 90e6,
      ram_available: this.#hardware.ram_available - 1e9,
      gpus: this.#hardware.gpus.map(({ name }) => ({
        name,
        temperature_celsius: 58 + Math.round(6 * Math.sin(performance.now() / 20_000)),
        clock_mhz: this.#speed > 0 ? 1830 : 210,
        memory_clock_mhz: 7001,
        power_watts: this.#speed > 0 ? 131 : 22,
        busy: this.#speed > 0 ? 0.4 : 0,
      })),
      layers: Array.from({ length: rows }, (_, layer) => ({
        layer,
        slots: this.#experts,
        resident: this.#cells.subarray(layer * columns, (layer + 1) * columns).filter((cell) => cell & 0xc0)
          .length,
        hits: this.#hits[layer] ?? 0,
        misses: Math.round((misses / rows) * (0.8 + (layer % 5) / 10)),
        bytes_read: bytes_read / rows,
        wait_us: wait_us / rows,
        swap_p50_us: 850 + layer * 7,
        swap_p95_us: 2000 + layer * 15,
        vram_slots: 0,
        vram_resident: 0,
        vram_hits: 0,
        cache_off: false,
      })),
      heat: btoa(String.fromCharCode(...this.#cells)),
      totals: this.#totals,
      telemetry: {
        swap_p50_us: 900,
        swap_p95_us: 2100,
        queue_depth: 2.3,
        disk_bytes_per_second: this.#speed * 20e6,
        ram_bytes_per_second: this.#speed * 140e6,
        direct_io: true,
        policy: this.#settings.policy ?? 'learned',
        held_back: 0,
        vram_held_back: 0,
        leaving: 0,
        look_ahead: 0.84,
        preloading: this.#settings.predictive_preloading ? 'on' : 'off',
        profile_tokens: 0,
      },
      forecast: this.#totals.tokens < 24 ? null : this.#forecast(),
      tokens_per_second: this.#speed,
      hit_rate: this.#speed > 0 ? hits / Math.max(hits + misses, 1) + (Math.random() - 0.5) * 0.05 : 0,
      generating: this.#speed > 0,
      context_used: this.#context,
      context: Math.min(this.#info.max_context, 32_768),
    };
  }
}
