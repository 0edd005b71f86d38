import { fireEvent, screen, within } from '@testing-library/svelte';
import { expect, test, vi } from 'vitest';
import type { Forecast } from '../bindings/Forecast';
import { placement, snapshot } from '../testing/recorded';
import { api, app, at, loaded, open, openWindows, settle } from '../testing/window';

openWindows();

test('the sliders send what they show, and say when it is in force', async () => {
  await loaded();
  await open('memory');
  expect(at('slider-vram')).toHaveProperty('disabled', true);
  expect(at('slider-vram-note').textContent).toBe('No driver was found.');
  const slider = at('slider-experts');
  expect([slider.getAttribute('min'), slider.getAttribute('max')]).toEqual(['1', '4']);
  await fireEvent.input(slider, { target: { value: '2' } });
  expect(at('configure-state').dataset['state']).toBe('pending');
  await settle();
  const { id, memory } = api.last('configure');
  expect(memory.cached_experts_per_layer).toBe(2);
  api.tell({ type: 'configured', id, placement: placement({ cached_experts_per_layer: 2 }) });
  await settle();
  expect(at('configure-state').dataset['state']).toBe('applied');
  expect(at('slider-experts-number')).toHaveProperty('value', '2');
  await fireEvent.click(at('slider-experts-auto'));
  await settle();
  expect(api.last('configure').memory.cached_experts_per_layer).toBeNull();
});

test('a slider foretells what it buys, and afterwards how well that was foretold', async () => {
  await loaded();
  await open('memory');
  const point = (value: number, tokens_per_second: number) => ({
    value,
    tokens_per_second,
    slots: value,
    hit_rate: value / 4,
  });
  const forecast: Forecast = {
    tokens: 512,
    tokens_per_second: 16,
    measured: 15.8,
    ram: [point(5_000_000, 10), point(12_000_000, 17)],
    experts: [point(1, 8), point(4, 16)],
    context: [],
    vram: [],
    bottleneck: '41% of a token is waiting for experts from disk: more RAM would help.',
    applied: null,
  };
  const tell = (patch: Partial<Forecast>, time: number) =>
    api.tell({ type: 'snapshot', snapshot: snapshot(time, { forecast: { ...forecast, ...patch } }) });
  tell({}, 1000);
  await settle();
  expect(at('bottleneck').textContent).toBe(forecast.bottleneck);
  expect(at('slider-experts-foretold').textContent).toBe('Expected here: 16.0 tokens/s');
  expect(at('slider-ram-foretold').textContent).toContain('15.0 tokens/s');
  expect(screen.queryByTestId('forecast-error')).toBeNull();
  await fireEvent.input(at('slider-experts'), { target: { value: '2' } });
  await settle();
  expect(at('slider-experts-foretold').textContent).toBe('−2: 16.0 → 10.7 tokens/s');
  const { id } = api.last('configure');
  api.tell({ type: 'configured', id, placement: placement({ cached_experts_per_layer: 2 }) });
  tell({ applied: { before: 16, predicted: 10.7, measured: 11, tokens: 40 } }, 2000);
  await settle();
  expect(at('slider-experts-foretold').textContent).toBe('−2: 16.0 → 10.7 tokens/s');
  expect(at('forecast-error').textContent).toContain('expected 10.7, measured 11.0 tokens/s');
  expect(at('forecast-error').textContent).toContain('off by 2.7%');
});

test('the policy is a choice that is sent like a slider', async () => {
  await loaded();
  await open('memory');
  await fireEvent.change(at('policy'), { target: { value: 'lru' } });
  await settle();
  expect(api.last('configure').memory.policy).toBe('lru');
});

test('a number beside a slider is held within what works', async () => {
  await loaded();
  await open('memory');
  await fireEvent.change(at('slider-ram-number'), { target: { value: '999999' } });
  await settle();
  expect(api.last('configure').memory.ram_budget).toBe(12_000_000);
  await fireEvent.change(at('slider-ram-number'), { target: { value: '' } });
  await settle();
  expect(at('slider-ram-number')).toHaveProperty('value', (12_000_000 / 1024 ** 2).toFixed(1));
});

test('memory is watched closely on its page, loosely elsewhere, and not while hidden', async () => {
  await loaded();
  expect(api.last('watch').hz).toBe(1);
  await open('memory');
  expect(api.last('watch').hz).toBeGreaterThanOrEqual(5);
  const hidden = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden');
  await fireEvent(document, new Event('visibilitychange'));
  expect(api.last('watch').hz).toBe(0);
  hidden.mockRestore();
  await fireEvent(document, new Event('visibilitychange'));
  expect(api.last('watch').hz).toBeGreaterThanOrEqual(5);
  // A new engine does not know of the old one's watcher.
  const before = api.of('watch').length;
  api.exit();
  await settle();
  await fireEvent.click(at('load-again'));
  await settle();
  expect(api.of('watch').length).toBeGreaterThan(before);
});

test('the table of bytes adds up', async () => {
  await loaded();
  await open('memory');
  const rows = within(at('placement-table')).getAllByRole('row');
  const cells = rows.map((row) => [...row.children].map((cell) => cell.textContent?.trim()));
  expect(cells.slice(1)).toEqual([
    ['Attention', '–', '3.8 MiB', '–'],
    ['Expert slots', '–', '5.7 MiB', '–'],
    ['Experts without a slot', '–', '–', '1.9 MiB'],
    ['Total', '–', '9.5 MiB', '1.9 MiB'],
  ]);
});

test('what the sensors of a GPU tell is shown, and nothing in place of those it has not', async () => {
  await loaded();
  await open('memory');
  api.tell({ type: 'snapshot', snapshot: snapshot(1000) });
  await settle();
  expect(screen.queryByTestId('gpu')).toBeNull();
  const gpu = {
    name: 'A GPU',
    temperature_celsius: 64,
    clock_mhz: 1830,
    memory_clock_mhz: null,
    power_watts: 181.4,
    busy: 0.5,
  };
  api.tell({ type: 'snapshot', snapshot: snapshot(2000, { gpus: [gpu] }) });
  await settle();
  const told = at('gpu').textContent;
  for (const part of ['A GPU', '64 °C', '1,830 MHz', '181 W', '50%']) expect(told).toContain(part);
  expect(told).not.toContain('Memory clock');
  expect(app.memory.history.temperature).toEqual([null, 64]);
});
