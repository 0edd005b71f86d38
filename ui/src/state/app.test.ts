import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { recordedApp } from '../testing/app';
import { demoPath, info, placement, type Recorder } from '../testing/recorded';
import type { AppState } from './app.svelte';

let api: Recorder;
let app: AppState;

beforeEach(() => {
  vi.useFakeTimers();
  ({ api, app } = recordedApp());
});
afterEach(() => vi.useRealTimers());

const settle = (ms = 300) => vi.advanceTimersByTimeAsync(ms);

async function begin(): Promise<void> {
  await app.begin();
  await settle();
}

function loaded(): void {
  api.tell({ type: 'loaded', id: api.last('load').id, model: info, placement: placement() });
}

test('at the start the demo model is loaded, with the settings for it', async () => {
  api.settings.memory = {
    [demoPath]: {
      vram_budget: null,
      ram_budget: null,
      cached_experts_per_layer: 3,
      experts_vram: null,
      predictive_preloading: null,
      policy: null,
      context: null,
    },
  };
  api.settings.threads = 2;
  await begin();
  expect(api.of('load')).toHaveLength(1);
  expect(api.last('load').request).toEqual({
    model: demoPath,
    memory: {
      vram_budget: null,
      ram_budget: null,
      cached_experts_per_layer: 3,
      experts_vram: null,
      predictive_preloading: null,
      policy: null,
      context: null,
    },
    threads: 2,
    quantize: null,
  });
  expect(app.model.phase).toBe('loading');
  api.tell({ type: 'load_progress', id: api.last('load').id, stage: 'weights', done: 5, total: 10 });
  expect(app.model.progress).toMatchObject({ stage: 'weights', done: 5, total: 10 });
  loaded();
  expect(app.model.phase).toBe('loaded');
  expect(app.model.info).toEqual(info);
});

test('the last model comes first, if it is still there', async () => {
  const other = {
    path: '/m/other.gguf',
    name: 'other',
    bytes: 1,
    demo: false,
    missing: false,
    place: null,
    incomplete: false,
    used: 0,
  };
  api.models.push(other);
  api.settings.last_model = other.path;
  await begin();
  expect(api.last('load').request.model).toBe(other.path);
});

test('a last model that is gone gives way to the demo model', async () => {
  api.models.push({
    path: '/m/gone.gguf',
    name: 'gone',
    bytes: 0,
    demo: false,
    missing: true,
    place: null,
    incomplete: false,
    used: 0,
  });
  api.settings.last_model = '/m/gone.gguf';
  await begin();
  expect(api.last('load').request.model).toBe(demoPath);
});

test('nothing is loaded when the person does not want it, or when it is there already', async () => {
  api.settings.load_on_start = false;
  await begin();
  expect(api.of('load')).toHaveLength(0);

  // A page that was reloaded over a running engine hears of its model.
  ({ api, app } = recordedApp());
  api.onStart = () => {
    api.ready();
    api.tell({ type: 'loaded', id: 5, model: info, placement: placement() });
  };
  await begin();
  expect(api.of('load')).toHaveLength(0);
  expect(app.model.phase).toBe('loaded');
  expect(app.model.path).toBe(demoPath);
});

test('a model is quantized as was chosen for it, until it is forgotten', async () => {
  await begin();
  loaded();
  app.settings.setQuantize('/m/large', 'q4_k_m');
  await app.model.load('/m/large');
  expect(api.last('load').request).toMatchObject({ model: '/m/large', quantize: 'q4_k_m' });
  await app.model.load('/m/other');
  expect(api.last('load').request.quantize).toBeNull();
  app.settings.forget('/m/large');
  expect(app.settings.value.quantize).toEqual({});
});

test('a load that fails says why; one that was cancelled does not', async () => {
  await begin();
  const failure = { kind: 'checkpoint' as const, message: '/models/demo.gguf: one byte short' };
  api.tell({ type: 'failed', id: api.last('load').id, failure });
  expect(app.model).toMatchObject({ phase: 'none', failure });
  await app.load(demoPath);
  expect(app.model.failure).toBeNull();
  await app.model.cancel();
  expect(api.last('cancel').id).toBe(api.last('load').id);
  expect(app.model.cancelling).toBe(true);
  api.tell({ type: 'failed', id: api.last('load').id, failure: { kind: 'cancelled', message: 'cancelled' } });
  expect(app.model).toMatchObject({ phase: 'none', failure: null, cancelling: false });
});

test('an engine that ends while loading is a failed load', async () => {
  await begin();
  api.exit('it ran out of memory');
  expect(app.model.failure?.message).toBe('it ran out of memory');
});

test('a loaded model is remembered, the demo model only as the last one', async () => {
  await begin();
  loaded();
  await settle(1000);
  expect(api.saved.at(-1)).toMatchObject({ last_model: demoPath, models: [] });
  await app.load('/m/other.gguf');
  loaded();
  await settle(1000);
  expect(api.saved.at(-1)).toMatchObject({ last_model: '/m/other.gguf', models: ['/m/other.gguf'] });
  await app.library.forget('/m/other.gguf');
  expect(api.saved.at(-1)).toMatchObject({ last_model: null, models: [] });
});

test('another model stops the answer first', async () => {
  await begin();
  loaded();
  await app.chat.ask('a');
  await app.load('/m/other.gguf');
  expect(api.commands.slice(-3).map((command) => command.type)).toEqual(['generate', 'cancel', 'load']);
  expect(app.memory.placement).toBeNull();
});

test('unloading frees the model', async () => {
  await begin();
  loaded();
  await app.unload();
  expect(app.model.phase).toBe('unloading');
  api.tell({ type: 'unloaded', id: api.last('unload').id });
  expect(app.model).toMatchObject({ phase: 'none', info: null });
  expect(app.memory.placement).toBeNull();
});

test('a wanted end of the engine is no fault', async () => {
  await begin();
  api.play({ type: 'engine_exited', message: '', code: 0, signal: null, expected: true });
  expect(app.engine).toMatchObject({ status: 'stopped', exit: null });
});

test('an engine that can not be started is told', async () => {
  api.onStart = () => {
    throw new Error('moestro-desktop: no such file');
  };
  await begin();
  expect(app.engine).toMatchObject({ status: 'stopped', exit: { message: 'moestro-desktop: no such file' } });
});

test('notices are shown once each until they are dismissed', async () => {
  await begin();
  api.play({ type: 'notice', message: 'The settings were damaged.' });
  api.play({ type: 'notice', message: 'The settings were damaged.' });
  api.tell({ type: 'failed', id: null, failure: { kind: 'request', message: 'not understood' } });
  expect(app.engine.notices).toEqual(['The settings were damaged.', 'not understood']);
  app.engine.dismiss('not understood');
  expect(app.engine.notices).toEqual(['The settings were damaged.']);
});

test('a model opened from outside is loaded in place of the first, or of the present one', async () => {
  const ready = api.onStart;
  api.onStart = () => {
    api.onStart = ready;
    api.play({ type: 'file_opened', path: '/given.gguf' });
    ready();
  };
  await begin();
  const asked = () => api.of('load').map((load) => load.request.model);
  expect(asked()).toEqual(['/given.gguf']);
  loaded();
  app.page.open('memory');
  api.play({ type: 'file_opened', path: '/given.gguf' });
  await settle();
  expect(app.page.current).toBe('chat');
  expect(asked()).toHaveLength(1);
  api.play({ type: 'file_opened', path: '/other.gguf' });
  await settle();
  expect(asked()).toEqual(['/given.gguf', '/other.gguf']);
});
