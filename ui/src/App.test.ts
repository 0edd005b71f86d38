import { cleanup, fireEvent, render, screen, within } from '@testing-library/svelte';
import { tick } from 'svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import App from './App.svelte';
import type { Forecast } from './bindings/Forecast';
import type { AppState } from './state/app.svelte';
import { recordedApp } from './testing/app';
import { demoPath, info, placement, snapshot, stats, type Recorder } from './testing/recorded';

let api: Recorder;
let state: AppState;

beforeEach(async () => {
  vi.useFakeTimers();
  ({ api, app: state } = recordedApp());
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
  expect(at('message-user-text').textContent).toBe('What is 2+2?');
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

async function answered(question: string, answer: string): Promise<void> {
  const id = await ask(question);
  api.tell({ type: 'token', id, text: answer, tokens: 1 });
  api.tell({ type: 'finished', id, reason: 'stop', stats });
  await settle();
}

const all = (id: string) => screen.queryAllByTestId(id);
const words = (id: string) => all(id).map((element) => element.textContent?.trim());

test('a question is edited, and both versions can be shown', async () => {
  await loaded();
  await answered('first', 'one');
  expect(screen.queryByTestId('branches')).toBeNull();
  await fireEvent.click(at('edit'));
  await tick();
  expect(at('edit-field')).toHaveProperty('value', 'first');
  await fireEvent.keyDown(at('edit-field'), { key: 'Escape' });
  await tick();
  expect(screen.queryByTestId('edit-field')).toBeNull();
  await fireEvent.click(at('edit'));
  await fireEvent.input(at('edit-field'), { target: { value: 'second' } });
  await fireEvent.keyDown(at('edit-field'), { key: 'Enter' });
  await settle();
  expect(words('message-user-text')).toEqual(['second']);
  const { id } = api.last('generate');
  api.tell({ type: 'token', id, text: 'two', tokens: 1 });
  api.tell({ type: 'finished', id, reason: 'stop', stats });
  await settle();
  expect(at('branches').textContent).toContain('2 of 2');
  await fireEvent.click(at('branch-previous'));
  await settle();
  expect(words('message-user-text')).toEqual(['first']);
  expect(at('branch-previous')).toHaveProperty('disabled', true);
});

test('an answer that was cut offers to go on, a whole one does not', async () => {
  await loaded();
  const id = await ask('Count');
  api.tell({ type: 'token', id, text: '1, 2', tokens: 2 });
  api.tell({ type: 'finished', id, reason: 'cancelled', stats });
  await settle();
  await fireEvent.click(at('continue'));
  await settle();
  const again = api.last('generate').id;
  api.tell({ type: 'token', id: again, text: ', 3', tokens: 1 });
  api.tell({ type: 'finished', id: again, reason: 'stop', stats });
  await settle();
  expect(at('message-assistant').textContent).toContain('1, 2, 3');
  expect(screen.queryByTestId('continue')).toBeNull();
});

test('the list of chats is searched, named, pinned and emptied by keyboard', async () => {
  await loaded();
  await answered('about trams', 'They run.');
  await fireEvent.click(at('new-chat'));
  await settle();
  await answered('about lakes', 'They rest.');
  expect(words('chat-open')).toEqual(['about lakes', 'about trams']);
  const [lakes, trams] = all('chat-open');
  if (!lakes || !trams) throw new Error('two chats');
  lakes.focus();
  await fireEvent.keyDown(lakes, { key: 'ArrowDown' });
  expect(document.activeElement).toBe(trams);
  await fireEvent.keyDown(trams, { key: 'F2' });
  await tick();
  await fireEvent.input(at('chat-row-field'), { target: { value: 'Trams' } });
  await fireEvent.keyDown(at('chat-row-field'), { key: 'Enter' });
  await settle();
  expect(words('chat-open')).toEqual(['about lakes', 'Trams']);

  await fireEvent.click(all('chat-more')[1] ?? at('none'));
  await settle();
  expect(document.activeElement?.textContent).toContain('Rename');
  await fireEvent.keyDown(document.activeElement ?? document.body, { key: 'ArrowDown' });
  expect(document.activeElement?.textContent).toContain('Pin');
  await fireEvent.click(at('chat-more-pin'));
  await settle();
  expect(words('chat-open')).toEqual(['Trams', 'about lakes']);

  await fireEvent.input(at('chat-search'), { target: { value: 'they run' } });
  await settle();
  expect(at('search-count').textContent).toContain('1 chat found');
  expect(at('search-hit').querySelector('mark')?.textContent).toBe('They run');
  await fireEvent.click(at('search-hit'));
  await settle();
  expect(words('message-user-text')).toEqual(['about trams']);
  await fireEvent.keyDown(at('chat-search'), { key: 'Escape' });
  await settle();

  await fireEvent.keyDown(all('chat-open')[0] ?? at('none'), { key: 'Delete' });
  await settle();
  expect(words('chat-open')).toEqual(['about lakes']);
  expect(at('chat-deleted').textContent).toContain('“Trams” was deleted.');
  expect(document.activeElement).toBe(at('chat-undo'));
  await fireEvent.click(at('chat-undo'));
  await settle();
  expect(words('chat-open')).toEqual(['Trams', 'about lakes']);
});

test('a chat has settings of its own, and they are sent', async () => {
  await loaded();
  state.settings.change({ system_prompt: 'For all.', max_tokens: 99 });
  await fireEvent.click(at('chat-settings'));
  await tick();
  await fireEvent.input(at('chat-system-prompt'), { target: { value: 'For this.' } });
  await fireEvent.click(at('preset-precise'));
  await fireEvent.input(at('setting-chat-seed'), { target: { value: '7' } });
  await fireEvent.input(at('chat-stop-texts'), { target: { value: 'END\nSTOP' } });
  await settle(1000);
  await ask('x');
  const { request } = api.last('generate');
  expect(request).toMatchObject({
    prompt: {
      messages: [
        { role: 'system', content: 'For this.' },
        { role: 'user', content: 'x' },
      ],
    },
    sampling: { temperature: 0.2, top_p: 0.9, top_k: null, seed: 7 },
    max_tokens: 99,
    stop: ['END', 'STOP'],
  });
  api.tell({ type: 'finished', id: api.last('generate').id, reason: 'stop', stats });
  await settle();
  await fireEvent.click(at('new-chat'));
  await settle();
  expect(state.chat.settings.system_prompt).toBeNull();
  await state.chat.open(state.chats.entries[0]?.id ?? 0);
  expect(state.chat.settings).toMatchObject({ system_prompt: 'For this.', seed: 7, stop: ['END', 'STOP'] });
});

test('the tokens of the prompt and its files are counted against the context', async () => {
  await loaded();
  await fireEvent.input(at('prompt'), { target: { value: 'Sum up.' } });
  const files = [new File(['some notes'], 'notes.txt')];
  await fireEvent.change(at('file-picker'), { target: { files } });
  await settle(1000);
  const { id, prompts } = api.last('count');
  expect(prompts[0]).toEqual({ type: 'raw', text: 'File notes.txt:\n```\nsome notes\n```\n\nSum up.' });
  api.tell({ type: 'counted', id, tokens: [400, 300, 0] });
  await settle();
  expect(at('file').textContent).toContain('300 tokens');
  expect(at('context-use').textContent).toContain('Context 400 of 1,024 tokens');
  await fireEvent.click(at('send'));
  await settle();
  expect(at('message-file').textContent).toContain('notes.txt');
  expect(at('message-user-text').textContent).toBe('Sum up.');
  expect(screen.queryByTestId('file')).toBeNull();
});

test('a chat that is too long is not sent, and its prompt stays', async () => {
  await loaded();
  await fireEvent.input(at('prompt'), { target: { value: 'x'.repeat(3000) } });
  await fireEvent.keyDown(at('prompt'), { key: 'Enter' });
  await settle();
  api.tell({ type: 'counted', id: api.last('count').id, tokens: [2000] });
  await settle();
  expect(api.of('generate')).toHaveLength(0);
  expect(at('chat-failure').textContent).toContain('2,000 tokens and the context holds 1,024');
  expect(at('prompt')).toHaveProperty('value', 'x'.repeat(3000));
});

test('Ctrl+N begins a chat, from any page', async () => {
  await loaded();
  const id = await ask('x');
  api.tell({ type: 'finished', id, reason: 'stop', stats });
  await settle();
  await open('memory');
  await fireEvent.keyDown(window, { key: 'n', ctrlKey: true });
  await settle();
  expect(screen.queryAllByTestId('message-user')).toHaveLength(0);
  expect(at('prompt')).toBeTruthy();
});
