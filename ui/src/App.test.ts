import { cleanup, fireEvent, render, screen, within } from '@testing-library/svelte';
import { tick } from 'svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import App from './App.svelte';
import type { Forecast } from './bindings/Forecast';
import { AppState } from './state/app.svelte';
import { RecordedHub } from './testing/hub';
import { demoPath, info, placement, Recorder, snapshot, stats } from './testing/recorded';

let api: Recorder;
let state: AppState;

beforeEach(async () => {
  vi.useFakeTimers();
  localStorage.clear();
  api = new Recorder();
  api.onStart = () => state.engine.status !== 'running' && api.ready();
  state = new AppState(api, new RecordedHub(), localStorage);
  render(App, { state });
  await settle();
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

async function settle(ms = 300): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await tick();
}

const at = (id: string) => screen.getByTestId(id);
const open = (page: string) => fireEvent.click(at(`nav-${page}`));

async function loaded(): Promise<void> {
  api.tell({ type: 'loaded', id: api.last('load').id, model: info, placement: placement() });
  await settle();
}

async function ask(question: string): Promise<number> {
  await fireEvent.input(at('prompt'), { target: { value: question } });
  await fireEvent.keyDown(at('prompt'), { key: 'Enter' });
  await settle();
  return api.last('generate').id;
}

test('from the load to a finished answer', async () => {
  api.tell({
    type: 'load_progress',
    id: api.last('load').id,
    stage: 'weights',
    done: 512 * 1024,
    total: 1024 * 1024,
  });
  await settle();
  expect(at('load-progress').textContent).toContain('512 KiB of 1.0 MiB');
  await fireEvent.click(at('load-cancel'));
  expect(api.last('cancel').id).toBe(api.last('load').id);
  await loaded();
  expect(at('strip-model').textContent).toBe('Demo');
  expect(screen.getAllByTestId('example').length).toBeGreaterThan(3);
  expect(at('send')).toHaveProperty('disabled', true);

  const id = await ask('What is 2+2?');
  expect(at('message-user').textContent).toBe('What is 2+2?');
  expect(at('prompt')).toHaveProperty('value', '');
  api.tell({ type: 'prefill_progress', id, done: 512, total: 2000, reused: 0 });
  await settle();
  expect(at('prefill').textContent).toContain('Reading the prompt 512 / 2,000 tokens');
  api.tell({ type: 'token', id, text: '**4', tokens: 1 });
  api.tell({ type: 'token', id, text: '**', tokens: 2 });
  await settle();
  expect(at('message-assistant').querySelector('strong')?.textContent).toBe('4');
  expect(at('stop')).toBeTruthy();
  api.tell({ type: 'finished', id, reason: 'stop', stats });
  await settle();
  const figures = at('answer-stats').textContent;
  for (const part of [
    '5 tokens',
    '40.0 tokens/s',
    'first token 55 ms',
    '20 tokens, 8 reused',
    'hit rate 50%',
  ]) {
    expect(figures).toContain(part);
  }
  expect(at('send')).toBeTruthy();
});

test('Shift+Enter and Enter of an input method do not send', async () => {
  await loaded();
  await fireEvent.input(at('prompt'), { target: { value: 'x' } });
  await fireEvent.keyDown(at('prompt'), { key: 'Enter', shiftKey: true });
  await fireEvent.keyDown(at('prompt'), { key: 'Enter', isComposing: true });
  expect(api.of('generate')).toHaveLength(0);
  await fireEvent.click(at('send'));
  expect(api.of('generate')).toHaveLength(1);
});

test('Esc stops the answer', async () => {
  await loaded();
  const id = await ask('x');
  await fireEvent.keyDown(document.body, { key: 'Escape' });
  expect(api.last('cancel').id).toBe(id);
  api.tell({ type: 'finished', id, reason: 'cancelled', stats: { ...stats, generated_tokens: 0 } });
  await settle();
  expect(at('answer-note').textContent).toBe('Stopped before the first word.');
});

test('the end of the engine is told on every page of the engine, with one button back', async () => {
  await loaded();
  const id = await ask('Tell a story');
  api.tell({ type: 'token', id, text: 'Once upon', tokens: 2 });
  await settle();
  api.exit('it was killed (signal 9)');
  await settle();
  expect(at('message-assistant').textContent).toContain('Once upon');
  expect(at('engine-stopped').textContent).toContain('The engine stopped: it was killed (signal 9).');
  expect(at('engine-stopped').textContent).toContain('Your partial answer is kept.');
  expect(at('strip-model').textContent).toBe('Engine stopped');
  for (const page of ['models', 'memory']) {
    await open(page);
    expect(at('engine-stopped')).toBeTruthy();
  }
  await open('chat');
  await fireEvent.click(at('load-again'));
  await settle();
  expect(screen.queryByTestId('engine-stopped')).toBeNull();
  expect(api.last('load').request.model).toBe(demoPath);
  await loaded();
  expect(at('message-assistant').textContent).toContain('Once upon');
  await fireEvent.click(at('retry'));
  expect(api.of('generate')).toHaveLength(2);
});

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
  expect(at('slider-experts-foretold').textContent).toBe('Foretold here: 16.0 tokens/s');
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
  expect(at('forecast-error').textContent).toContain('foretold 10.7, measured 11.0 tokens/s');
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

test('models can be opened by dialog and by path', async () => {
  await loaded();
  await open('models');
  expect(at('model-details').textContent).toContain('qwen3_next');
  api.chosen = '/m/chosen.gguf';
  await fireEvent.click(at('open-file'));
  await settle();
  expect(api.last('load').request.model).toBe('/m/chosen.gguf');
  const failure = { kind: 'checkpoint' as const, message: '/m/chosen.gguf: not a GGUF file' };
  api.tell({ type: 'failed', id: api.last('load').id, failure });
  await settle();
  expect(at('load-failure').textContent).toContain('not a GGUF file');
  await fireEvent.input(at('model-path'), { target: { value: ' "/m/with space.gguf" ' } });
  await fireEvent.click(at('model-path-load'));
  await settle();
  expect(api.last('load').request.model).toBe('/m/with space.gguf');
});

test('settings are checked, saved and used', async () => {
  await loaded();
  await open('settings');
  await fireEvent.input(at('setting-temperature'), { target: { value: '9' } });
  expect(screen.getByText('Must be between 0 and 5.')).toBeTruthy();
  await fireEvent.input(at('setting-temperature'), { target: { value: '0' } });
  await fireEvent.input(at('setting-top_k'), { target: { value: '1.5' } });
  expect(screen.getByText('Must be a whole number.')).toBeTruthy();
  await fireEvent.change(at('theme-select'), { target: { value: 'dark' } });
  expect(document.documentElement.dataset['theme']).toBe('dark');
  await settle(500);
  expect(api.saved.at(-1)).toMatchObject({ theme: 'dark', sampling: { temperature: 0, top_k: null } });
  expect(at('about').textContent).toContain('No driver was found.');
  await open('chat');
  await ask('x');
  expect(api.last('generate').request.sampling).toMatchObject({ temperature: 0, top_k: null });
});

test('every control has a name, on every page', async () => {
  await loaded();
  await ask('x');
  api.tell({ type: 'snapshot', snapshot: snapshot(1000, { context_used: 12 }) });
  await settle();
  for (const page of ['chat', 'models', 'memory', 'settings']) {
    await open(page);
    for (const role of ['button', 'textbox', 'slider', 'spinbutton', 'combobox', 'checkbox']) {
      for (const control of screen.queryAllByRole(role)) {
        expect(screen.queryAllByRole(role, { name: /\S/ }), `${page}: ${control.outerHTML}`).toContain(
          control,
        );
      }
    }
  }
});

test('a window closed while downloads run asks, and leaves the memory to others', async () => {
  await loaded();
  api.play({ type: 'close_asked' });
  await settle();
  await fireEvent.click(at('close-stay'));
  await settle();
  expect(screen.queryByTestId('close-dialog')).toBeNull();
  api.play({ type: 'close_asked' });
  await settle();
  await fireEvent.click(at('close-background'));
  await settle();
  expect(api.closed).toEqual(['stay', 'background']);
  api.tell({ type: 'unloaded', id: api.last('unload').id });
  const before = api.of('load').length;
  api.play({ type: 'window_shown' });
  await settle();
  expect(api.of('load')).toHaveLength(before + 1);
});
