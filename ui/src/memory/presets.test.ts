import { expect, test } from 'vitest';
import type { Forecast } from '../bindings/Forecast';
import { placement, snapshot } from '../testing/recorded';
import { memoryPresets } from './presets';

const point = (value: number, tokens_per_second: number) => ({
  value,
  tokens_per_second,
  slots: 1,
  hit_rate: 0.5,
});
const forecast: Forecast = {
  tokens: 100,
  tokens_per_second: 10,
  measured: 10,
  ram: [point(5e6, 4), point(7e6, 9.5), point(9e6, 10), point(12e6, 10.1)],
  experts: [],
  context: [],
  vram: [],
  bottleneck: '',
  applied: null,
};

test('presets keep within the limits of the sliders', () => {
  const of = memoryPresets(placement(), null);
  expect(of.minimum.ram_budget).toBe(5_000_000);
  expect(of.balanced.ram_budget).toBe(8_500_000);
  expect(of.fastest.ram_budget).toBe(12_000_000);
  expect(of.long).toMatchObject({ context: 2048, ram_budget: null });
});

test('the forecast says what is enough, and free memory what is too much', () => {
  const plenty = memoryPresets(placement(), snapshot(0, { forecast }));
  expect(plenty.balanced.ram_budget).toBe(7e6);
  expect(plenty.fastest.ram_budget).toBe(12e6);
  const tiers = [{ tier: 'ram' as const, budget: 8e6, used: 6e6 }];
  const scarce = memoryPresets(placement(), snapshot(0, { forecast, tiers, ram_available: 2e6 }));
  expect(scarce.fastest.ram_budget).toBe(7.8e6);
  expect(scarce.balanced.ram_budget).toBe(7e6);
  const none = memoryPresets(placement(), snapshot(0, { tiers, ram_available: 0 }));
  expect(none.fastest.ram_budget).toBe(6e6);
});

test('a context that was chosen stays, except for the longest', () => {
  const of = memoryPresets(placement({ context: 512 }), null);
  expect([of.minimum.context, of.balanced.context, of.fastest.context]).toEqual([512, 512, 512]);
  expect(of.long.context).toBe(2048);
});
