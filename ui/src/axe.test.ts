// Every page and state, looked through by axe. Colours are not known here; they are
// checked in the real window.
import { fireEvent, screen } from '@testing-library/svelte';
import axe from 'axe-core';
import { beforeEach, expect, test, vi } from 'vitest';
import { job, repo } from './testing/hub';
import { snapshot } from './testing/recorded';
import { answered, api, app, hub, loaded, openWindows, settle } from './testing/window';

// jsdom draws nothing.
const pen = new Proxy(
  {},
  { get: () => () => ({ width: 0, addColorStop: () => undefined }), set: () => true },
);
HTMLCanvasElement.prototype.getContext = (() => pen) as never;
globalThis.Path2D ??= function () {
  return pen;
} as never;

openWindows({ toFake: ['setTimeout', 'clearTimeout', 'requestAnimationFrame'] });
beforeEach(() => {
  document.documentElement.lang = 'en';
  document.title = 'Moestro';
});

async function look(state: string): Promise<void> {
  vi.useRealTimers();
  const { violations } = await axe.run(document, { rules: { 'color-contrast': { enabled: false } } });
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'requestAnimationFrame'] });
  const found = violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(' | ')}`);
  expect(found, state).toEqual([]);
}

const answer =
  '# Title\n\nWords with $x^2$ and [a link](https://example.org).\n\n```rust\nfn main() {}\n```\n\n' +
  '| a | b |\n|---|---|\n| 1 | 2 |\n\n$$\n\\sqrt{2}\n$$\n\n- [ ] one\n- two';

test('the chat: loading, empty, with an answer, with dialogs over it, without an engine', async () => {
  await look('loading');
  await loaded();
  await look('empty');
  await answered('A question', `<think>Hm.</think>${answer}`);
  await look('an answer');
  await app.chat.again(app.chat.last?.key ?? 0);
  await settle();
  await look('an answer that begins, with branches');
  app.chats.lookFor('question');
  await settle();
  await look('a search');
  app.chats.lookFor('');
  app.page.overlay = 'palette';
  await settle();
  await look('the commands');
  app.page.overlay = 'shortcuts';
  await settle();
  await look('the shortcuts');
  app.page.overlay = 'chat_settings';
  app.settings.keepPreset('Mine', app.chat.settings);
  await settle();
  await look('the settings of the chat');
  app.page.overlay = null;
  app.page.link = 'https://example.org/';
  await settle();
  await look('a link');
  app.page.link = null;
  const [menu] = screen.getAllByTestId('chat-more');
  if (menu) await fireEvent.click(menu);
  await settle();
  await look('a menu');
  api.exit();
  await settle();
  await look('without an engine');
});

test('the other pages, with a model and without', async () => {
  for (const state of ['without', 'with'] as const) {
    if (state === 'with') await loaded();
    const layers = [{ layer: 0, slots: 4, resident: 2, vram: 0, hit_rate: 0.5 } as never];
    api.tell({
      type: 'snapshot',
      snapshot: snapshot(1000, { layers, heat: btoa('\u0081\u0082\u0000\u0000') }),
    });
    for (const page of ['models', 'memory', 'api', 'settings']) {
      await fireEvent.click(screen.getByTestId(`nav-${page}`));
      await settle();
      await look(`${page} ${state} a model`);
    }
  }
});

test('finding and fetching models, and closing meanwhile', async () => {
  hub.jobs = [job()];
  app.page.models = 'find';
  await fireEvent.click(screen.getByTestId('nav-models'));
  await settle();
  await look('suggestions');
  app.find.words = 'model';
  await app.find.search();
  await settle();
  await look('results');
  await app.find.open(repo);
  await settle();
  await look('a repository');
  api.play({ type: 'close_asked', downloads: true, api: false });
  await settle();
  await look('the question at closing');
  app.closing = null;
  api.play({ type: 'notice', message: 'The settings were damaged.' });
  hub.refusal = 'huggingface.co cannot be reached';
  await app.find.search();
  await settle();
  await look('a failure');
});
