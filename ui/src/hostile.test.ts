// One list of hostile texts, through every way into the page.
import { cleanup, fireEvent, render, screen } from '@testing-library/svelte';
import { tick } from 'svelte';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import App from './App.svelte';
import type { AppState } from './state/app.svelte';
import { recordedApp } from './testing/app';
import type { MemoryChats } from './testing/chats';
import { dangers, intruders } from './testing/dangers';
import payloads from './testing/hostile.json';
import type { RecordedHub } from './testing/hub';
import { info, placement, type Recorder } from './testing/recorded';

let api: Recorder;
let chats: MemoryChats;
let hub: RecordedHub;
let app: AppState;
const ran = vi.fn();

beforeEach(async () => {
  vi.useFakeTimers();
  vi.stubGlobal('alert', ran);
  ran.mockClear();
  ({ api, chats, hub, app } = recordedApp());
  render(App, { state: app });
  await settle();
  api.tell({ type: 'loaded', id: api.last('load').id, model: info, placement: placement() });
  await settle();
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

async function settle(ms = 300): Promise<void> {
  await vi.advanceTimersByTimeAsync(ms);
  await tick();
}

/** Nothing was asked of the shell or engine but what the window asks anyway. */
function asked(): string[] {
  const own = ['watch', 'count'];
  return [...api.commands.map(({ type }) => type), ...api.links, ...api.closed, ...hub.asked].filter(
    (command) => !own.includes(command) && command !== 'downloads',
  );
}

test('there are at least 150 of them, no two alike', () => {
  expect(new Set(payloads).size).toBe(payloads.length);
  expect(payloads.length).toBeGreaterThanOrEqual(150);
});

test('in an imported chat: prompts, answers, files and titles', async () => {
  const before = asked();
  const messages = payloads.flatMap((text, index) => [
    { id: index * 2 + 1, parent: index === 0 ? null : index * 2, role: 'user', text, state: 'done' },
    { id: index * 2 + 2, parent: index * 2 + 1, role: 'assistant', text, state: 'done' },
  ]);
  const text = JSON.stringify({ chats: [{ leaf: payloads.length * 2, messages }] });
  const imported = await chats.importText(text);
  await app.chat.open(imported.added[0] ?? 0);
  await settle();
  // Scrolled up, part by part, to the first.
  for (let more = screen.queryByTestId('earlier'); more; more = screen.queryByTestId('earlier')) {
    await fireEvent.click(more);
    await settle();
  }
  const prompts = screen.getAllByTestId('message-user-text').map((element) => element.textContent);
  expect(prompts).toEqual(payloads);
  expect(intruders(document.body)).toEqual([]);
  for (const block of document.querySelectorAll('.markdown .block')) {
    if (!block.querySelector('figure')) expect(dangers(block.innerHTML)).toEqual([]);
  }
  expect(asked()).toEqual(before);
  expect(ran).not.toHaveBeenCalled();
});

test('as titles and folders, in the list, the head, the search and the commands', async () => {
  const before = asked();
  for (const title of payloads) {
    await chats.create();
    const { entry } = await chats.open(null);
    await chats.importText(
      JSON.stringify({
        chats: [{ leaf: 1, messages: [{ id: 1, parent: null, role: 'user', text: title, state: 'done' }] }],
      }),
    );
    await chats.change(entry.id, { type: 'rename', title });
  }
  for (const [index, { entry }] of [...chats.kept.values()].entries()) {
    entry.title = payloads[index % payloads.length] ?? '';
    if (index % 3 === 0) entry.folder = entry.title;
  }
  await app.chats.refresh();
  await settle();
  expect(screen.getAllByTestId('chat-open').length).toBeGreaterThanOrEqual(payloads.length);
  expect(intruders(document.body)).toEqual([]);
  await app.chat.open(app.chats.entries[5]?.id ?? 0);
  await settle();
  expect(screen.getByTestId('chat-title').textContent).toBe(app.chats.entries[5]?.title);
  for (const words of ['alert', 'evil', '<']) {
    app.chats.lookFor(words);
    await settle();
    expect(screen.getAllByTestId('search-hit').length).toBeGreaterThan(10);
    expect(intruders(document.body)).toEqual([]);
  }
  app.page.overlay = 'palette';
  await settle();
  await fireEvent.input(screen.getByTestId('palette-field'), { target: { value: 'alert' } });
  expect(screen.getAllByTestId('palette-entry').length).toBeGreaterThan(10);
  expect(intruders(document.body)).toEqual([]);
  expect(asked()).toEqual(before);
  expect(ran).not.toHaveBeenCalled();
});

test('as model cards, names of models and repositories', async () => {
  app.page.models = 'find';
  await fireEvent.click(screen.getByTestId('nav-models'));
  for (const payload of payloads) {
    hub.card = () => Promise.resolve(payload);
    await app.find.open(payload);
    await settle(1);
    expect(screen.getByTestId('card').textContent).toBe(payload);
    expect(intruders(document.body)).toEqual([]);
  }
  api.models = payloads.map((name, index) => ({
    path: `/models/${index}.gguf`,
    name,
    bytes: 1,
    demo: false,
    missing: false,
    place: null,
    incomplete: false,
    used: 0,
  }));
  const before = asked();
  await app.library.refresh();
  app.page.models = 'here';
  await settle();
  expect(screen.getAllByTestId('model-row')).toHaveLength(payloads.length);
  expect(intruders(document.body)).toEqual([]);
  expect(asked()).toEqual(before);
  expect(ran).not.toHaveBeenCalled();
});
