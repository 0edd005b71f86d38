import type { MemorySnapshot } from '../bindings/MemorySnapshot';

export const HISTORY_MS = 120_000;
/** Closer samples than this are left out: nobody can see them. */
const LEAST_GAP_MS = 200;

/** Speed, hit rate and what the first GPU told, over the last two minutes. */
export class History {
  /** Seconds on the engine's clock. */
  readonly times: number[] = [];
  readonly speed: number[] = [];
  /** Null while nothing was generated. */
  readonly hitRate: (number | null)[] = [];
  /** Null without such a sensor. */
  readonly temperature: (number | null)[] = [];
  readonly clock: (number | null)[] = [];
  /** Rises with every change, so that views need not copy the arrays. */
  version = $state(0);

  add(snapshot: MemorySnapshot): void {
    const time = snapshot.time_ms / 1000;
    const last = this.times.at(-1);
    if (last !== undefined && time < last) this.clear();
    else if (last !== undefined && snapshot.time_ms - Math.round(last * 1000) < LEAST_GAP_MS) return;
    this.times.push(time);
    this.speed.push(snapshot.tokens_per_second);
    this.hitRate.push(snapshot.generating ? snapshot.hit_rate : null);
    this.temperature.push(snapshot.gpus[0]?.temperature_celsius ?? null);
    this.clock.push(snapshot.gpus[0]?.clock_mhz ?? null);
    const first = time - HISTORY_MS / 1000;
    let old = 0;
    while ((this.times[old] ?? time) < first) old += 1;
    if (old > 0) for (const line of this.#lines()) line.splice(0, old);
    this.version += 1;
  }

  clear(): void {
    for (const line of this.#lines()) line.length = 0;
    this.version += 1;
  }

  #lines(): unknown[][] {
    return [this.times, this.speed, this.hitRate, this.temperature, this.clock];
  }
}
