import { cleanup, fireEvent, render, screen } from '@testing-library/svelte';
import { tick } from 'svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import App from '../App.svelte';
import type { AppState } from '../state/app.svelte';
import { recordedApp } from '../testing/app';
import { job, repo, type RecordedHub } from '../testing/hub';
import { info, placement, stats, type Recorder } from '../testing/recorded';
import { timeLeft } from '../text/hub';

let api: Recorder;
let hub: RecordedHub;
let state: AppState;

beforeEach(async () => {
  vi.useFakeTimers();
  ({ api, hub, app: state } = recordedApp());
  render(App, { state });
  await settle();
  await click('nav-models');
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
async function click(id: string): Promise<void> {
  const found = screen.getAllByTestId(id)[0];
  if (!found) throw new Error(id);
  await fireEvent.click(found);
  await settle();
}

async function search(words: string): Promise<void> {
  await click('tab-find');
  await fireEvent.input(at('search-words'), { target: { value: words } });
  await click('search-go');
}

test('from the search to a judged and fetched model', async () => {
  await search(' qwen ');
  expect(hub.asked).toContain('search qwen');
  expect(at('search-count').textContent).toContain('2 repositories');
  expect(screen.getAllByTestId('search-result')[1]?.textContent).toContain('llama is not supported yet');
  await click('search-result');
  expect(screen.getAllByTestId('variant')).toHaveLength(2);
  expect(screen.getAllByTestId('variant-download')).toHaveLength(1);
  expect(at('card').textContent).toContain('It is large.');

  await click('variant-judge');
  expect(at('verdict').dataset['fit']).toBe('with_disk');
  expect(at('verdict-speed').textContent).toBe('about 9.3 tokens/s (estimate)');
  expect(at('verdict-assumed').textContent).toContain('what is free now');
  expect(at('verdict-assumed').textContent).toContain('18.6 GiB/s and disk at 1.86 GiB/s');
  await fireEvent.change(at('limit-experts'), { target: { value: '3' } });
  await settle();
  expect(hub.asked.at(-1)).toBe(`judge ${repo} Q4_K_M 3`);
  expect(state.settings.memoryFor('/cache/Model-80B-Q4_K_M.gguf').cached_experts_per_layer).toBe(3);
  await fireEvent.change(at('limit-experts'), { target: { value: '' } });
  await settle();
  expect(hub.asked.at(-1)).toBe(`judge ${repo} Q4_K_M`);
  await click('variant-download');
  expect(hub.asked).toContain(`add ${repo} Q4_K_M`);
  expect(at('variant-download')).toHaveProperty('disabled', true);
  expect(at('download-numbers').textContent).toContain('24 min 0 s left');
  expect(state.settings.speed('/cache/Model-80B-Q4_K_M.gguf').estimate).toBe(9.25);
});

test('a download is paused, resumed, and deleted only after a question', async () => {
  hub.jobs = [job()];
  await state.downloads.watch();
  await settle();
  await click('download-pause');
  expect(at('download-row').dataset['state']).toBe('paused');
  await click('download-resume');
  expect(at('download-row').dataset['state']).toBe('running');
  await click('download-cancel');
  expect(hub.asked).not.toContain('cancel 1');
  await click('download-cancel-yes');
  expect(hub.asked).toContain('cancel 1');
  expect(screen.queryByTestId('downloads')).toBeNull();
});

test('what went wrong is shown, and a finished model is listed at once', async () => {
  hub.jobs = [job({ state: 'failed', message: 'the disk is full' } as never)];
  await settle(5000);
  expect(at('download-row').textContent).toContain('the disk is full');
  await click('download-resume');
  const path = '/cache/Model-80B-Q4_K_M.gguf';
  api.models = [
    ...api.models,
    {
      path,
      name: repo,
      bytes: 5,
      demo: false,
      missing: false,
      place: 'cache',
      incomplete: false,
      used: 0,
    },
  ];
  hub.jobs = [job({ state: 'done', present: 48_000_000_000, path } as never)];
  await settle(5000);
  expect(screen.getAllByTestId('model-row')).toHaveLength(2);
  await click('download-load');
  expect(api.last('load').request.model).toBe(path);
});

test('an error of the search is a sentence and the list stays usable', async () => {
  hub.refusal = 'huggingface.co cannot be reached';
  await search('x');
  expect(at('find-failure').textContent).toContain('cannot be reached');
  hub.refusal = null;
  await click('search-go');
  expect(screen.queryByTestId('find-failure')).toBeNull();
  expect(screen.getAllByTestId('search-result')).toHaveLength(2);
});

test('a model of the cache is verified and deleted; the estimate stands beside the measurement', async () => {
  const path = '/cache/x.gguf';
  api.models = [
    ...api.models,
    {
      path,
      name: 'x',
      bytes: 5,
      demo: false,
      missing: false,
      place: 'cache',
      incomplete: false,
      used: 1,
    },
  ];
  state.settings.setSpeed(path, { estimate: 8 });
  await state.library.refresh();
  await state.load(path);
  api.tell({ type: 'loaded', id: api.last('load').id, model: { ...info, path }, placement: placement() });
  api.tell({ type: 'finished', id: 99, reason: 'stop', stats: { ...stats, generated_tokens: 100 } });
  await settle();
  const more = screen.getAllByTestId('model-more')[1];
  if (!more) throw new Error('no second model');
  await fireEvent.click(more);
  await settle();
  expect(at('model-speed').textContent).toBe('40.0 tokens/s (estimate was 8.0 tokens/s)');
  await click('model-verify');
  expect(at('model-checked').textContent).toContain('The file is as it should be.');
  expect(at('model-remove')).toHaveProperty('disabled', true);
});

test('times are read at a glance', () => {
  expect([12, 200, 3600, 7500].map(timeLeft)).toEqual(['12 s', '3 min 20 s', '1 h 0 min', '2 h 5 min']);
});

test('the place of the access token is told, and a locked keyring can be opened', async () => {
  hub.token = { place: 'locked_keyring' };
  await settle(4000);
  await click('tab-find');
  expect(at('token-place').textContent).toContain('locked');
  await click('token-unlock');
  expect(hub.asked).toContain('unlock');
  expect(at('token-place').textContent).toBe('Kept in the keyring of your system.');
  hub.token = { place: 'variable', name: 'HF_TOKEN' };
  await settle(4000);
  expect(at('token-place').textContent).toContain('HF_TOKEN');
  expect(screen.queryByTestId('token-field')).toBeNull();
});

test('a new revision of a model is as fast as the one before', () => {
  const path = (commit: string) => `/hub/models--a--b/snapshots/${commit.repeat(40)}/b-Q4_K_M.gguf`;
  state.settings.setSpeed(path('1'), { measured: 12 });
  expect(state.settings.speed(path('2'))).toEqual({ estimate: null, measured: 12 });
  expect(state.settings.speed('/hub/other.gguf').measured).toBeNull();
});
