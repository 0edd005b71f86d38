import { fireEvent, screen } from '@testing-library/svelte';
import { expect, test } from 'vitest';
import { demoPath, snapshot, stats } from './testing/recorded';
import { api, ask, at, loaded, open, openWindows, settle } from './testing/window';

openWindows();

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
  api.play({ type: 'close_asked', downloads: true, api: false });
  await settle();
  await fireEvent.click(at('close-stay'));
  await settle();
  expect(screen.queryByTestId('close-dialog')).toBeNull();
  api.play({ type: 'close_asked', downloads: true, api: false });
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

test('a window closed while the API is shared leaves the model to other programs', async () => {
  await loaded();
  api.play({ type: 'close_asked', downloads: false, api: true });
  await settle();
  expect(at('close-dialog').textContent).toContain('the model stays loaded');
  await fireEvent.click(at('close-background'));
  await settle();
  expect(api.closed).toEqual(['background']);
  expect(api.of('unload')).toEqual([]);
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
