import type { MemorySettings } from '../bindings/MemorySettings';
import type { MemorySnapshot } from '../bindings/MemorySnapshot';
import type { Placement } from '../bindings/Placement';

export const presetNames = ['minimum', 'balanced', 'fastest', 'long'] as const;
export type PresetName = (typeof presetNames)[number];

/** Share of the best speed that is near enough to it. */
const NEARLY = 0.9;
/** Of the free RAM: the rest is for what other programs will want next. */
const FOR_US = 0.9;

type Limits = Pick<
  MemorySettings,
  'vram_budget' | 'ram_budget' | 'cached_experts_per_layer' | 'experts_vram' | 'context'
>;

/** Positions of the sliders for each preset, on this machine and for this model. */
export function memoryPresets(
  placement: Placement,
  snapshot: MemorySnapshot | null,
): Record<PresetName, Limits> {
  const automatic: Limits = {
    vram_budget: null,
    ram_budget: null,
    cached_experts_per_layer: null,
    experts_vram: null,
    context: null,
  };
  const { ram_min, ram_max, max_context } = placement;
  const within = (bytes: number) => Math.round(Math.min(Math.max(bytes, ram_min), ram_max));
  const used = snapshot?.tiers.find(({ tier }) => tier === 'ram')?.used ?? 0;
  const most = snapshot === null ? ram_max : within(used + snapshot.ram_available * FOR_US);

  const points = (snapshot?.forecast?.ram ?? []).filter(({ value }) => value <= most);
  const best = Math.max(0, ...points.map((point) => point.tokens_per_second));
  const enough = points.find((point) => point.tokens_per_second >= best * NEARLY);

  // The context that is in force stays: the least and the best RAM are those for it.
  const context = placement.settings.context;
  return {
    minimum: { ...automatic, ram_budget: ram_min, context },
    balanced: { ...automatic, ram_budget: within(enough?.value ?? (ram_min + most) / 2), context },
    fastest: { ...automatic, ram_budget: most, context },
    long: { ...automatic, context: max_context },
  };
}
