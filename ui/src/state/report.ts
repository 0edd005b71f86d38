import type { AppState } from './app.svelte';

/** What helps to understand this machine and its figures, as JSON. Nothing of any chat. */
export function reportOf({ engine, model, memory, settings }: AppState): string {
  const { snapshot, placement, history } = memory;
  const report = {
    moestro: engine.version,
    written: new Date().toISOString(),
    engine: { status: engine.status, exit: engine.exit, notices: [...engine.notices] },
    hardware: engine.hardware,
    model: model.info,
    failure: model.failure,
    threads: settings.value.threads,
    placement,
    // Without the map of single experts, which is long and says little later.
    snapshot: snapshot && { ...snapshot, heat: undefined },
    history: {
      seconds: history.times,
      tokens_per_second: history.speed,
      hit_rate: history.hitRate,
      gpu_temperature_celsius: history.temperature,
      gpu_clock_mhz: history.clock,
    },
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}
