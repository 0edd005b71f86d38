import type { Component } from '../bindings/Component';
import type { PlacementRow } from '../bindings/PlacementRow';
import type { Tier } from '../bindings/Tier';

export const tiers: readonly Tier[] = ['vram', 'ram', 'disk'];

/** In the order of bars and table: always needed first, experts last. */
export const components: readonly Component[] = [
  'embeddings',
  'attention',
  'delta_net',
  'routers',
  'norms',
  'shared_experts',
  'dense_mlp',
  'output_head',
  'session_state',
  'activations',
  'program',
  'read_buffers',
  'expert_slots',
  'remaining_experts',
];

export function partColor(component: Component): string {
  return `var(--part-${component})`;
}

export interface PartLine {
  component: Component;
  bytes: Record<Tier, number>;
}

/** The placement's rows as one line per component; components without bytes are left out. */
export function partLines(rows: readonly PlacementRow[]): PartLine[] {
  return components
    .map((component) => {
      const bytes: Record<Tier, number> = { vram: 0, ram: 0, disk: 0 };
      for (const row of rows) if (row.component === component) bytes[row.tier] += row.bytes;
      return { component, bytes };
    })
    .filter(({ bytes }) => bytes.vram + bytes.ram + bytes.disk > 0);
}
