import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { recordedApp } from '../testing/app';
import { RecordedHub } from '../testing/hub';
import type { MemoryChats } from '../testing/chats';
import { demoPath, info, placement, Recorder, stats } from '../testing/recorded';
import { AppState } from './app.svelte';
import type { Answer } from './conversation';

let api: Recorder;
let app: AppState;
let chats: MemoryChats;

beforeEach(() => {
  vi.useFakeTimers();
  ({ api, app, chats } = recordedApp());
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

function lastAnswer(): Answer {
  const last = app.chat.last;
  if (last?.role !== 'assistant') throw new Error('there is no answer');
  return last;
}

async function write(...pieces: string[]): Promise<void> {
  const { id } = api.last('generate');
  for (const [index, text] of pieces.entries()) api.tell({ type: 'token', id, text, tokens: index + 1 });
  await settle();
}

test('an answer streams in and ends with its figures', async () => {
  await begin();
  loaded();
  app.settings.change({ system_prompt: 'Be brief.', max_tokens: 64 });
  await app.chat.ask('  What is 2+2? ');
  const { id, request } = api.last('generate');
  expect(request).toMatchObject({
    prompt: {
      type: 'chat',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'What is 2+2?' },
      ],
    },
    max_tokens: 64,
    stop: [],
  });
  expect(lastAnswer().state).toBe('waiting');
  api.tell({ type: 'prefill_progress', id, done: 5, total: 20, reused: 2 });
  expect(lastAnswer()).toMatchObject({ state: 'reading', prefill: { done: 5, total: 20, reused: 2 } });
  await write('2+2', ' is', ' 4.');
  expect(lastAnswer()).toMatchObject({ state: 'writing', text: '2+2 is 4.', tokens: 3 });
  api.tell({ type: 'finished', id, reason: 'stop', stats });
  expect(lastAnswer()).toMatchObject({ state: 'done', text: '2+2 is 4.', reason: 'stop' });
  expect(lastAnswer().figures).toMatchObject({ generated_tokens: 5, prompt_tokens: 20, hit_rate: 0.5 });
  expect(app.chat.generating).toBe(false);

  await app.chat.ask('And 3+3?');
  const { prompt } = api.last('generate').request;
  expect(prompt.type === 'chat' && prompt.messages.map((message) => message.content)).toEqual([
    'Be brief.',
    'What is 2+2?',
    '2+2 is 4.',
    'And 3+3?',
  ]);
});

test('tokens that came with the end are not lost, late ones of another answer are not taken', async () => {
  await begin();
  loaded();
  await app.chat.ask('a');
  const { id } = api.last('generate');
  api.tell({ type: 'token', id, text: 'all', tokens: 1 });
  api.tell({ type: 'finished', id, reason: 'stop', stats });
  api.tell({ type: 'token', id, text: ' too late', tokens: 2 });
  await settle();
  expect(lastAnswer().text).toBe('all');
});

test('stopping cancels, and the partial answer stays', async () => {
  await begin();
  loaded();
  await app.chat.ask('a');
  await write('one', ' two');
  await app.chat.stop();
  const { id } = api.last('generate');
  expect(api.last('cancel').id).toBe(id);
  api.tell({ type: 'finished', id, reason: 'cancelled', stats });
  expect(lastAnswer()).toMatchObject({ state: 'stopped', text: 'one two' });
});

test('the end of the engine keeps the partial answer; one call loads again and the chat goes on', async () => {
  await begin();
  loaded();
  await app.chat.ask('Tell a story');
  await write('Once', ' upon');
  // The last token and the end come within one frame.
  api.tell({ type: 'token', id: api.last('generate').id, text: ' a time', tokens: 3 });
  api.exit('it was killed (signal 9)');
  expect(lastAnswer()).toMatchObject({ state: 'interrupted', text: 'Once upon a time' });
  expect(app.engine).toMatchObject({
    status: 'stopped',
    exit: { message: 'it was killed (signal 9)', signal: 9 },
  });
  expect(app.model.phase).toBe('none');
  expect([...chats.messages.values()].at(-1)).toMatchObject({
    text: 'Once upon a time',
    state: 'interrupted',
  });

  const starts = api.starts;
  await app.loadAgain();
  await settle();
  expect(api.starts).toBe(starts + 1);
  expect(api.of('load').map((command) => command.request.model)).toEqual([demoPath, demoPath]);
  expect(app.engine.exit).toBeNull();
  loaded();
  expect(app.model.phase).toBe('loaded');

  await app.chat.again(lastAnswer().key);
  expect(app.chat.turns.map((turn) => turn.text)).toEqual(['Tell a story', '']);
  expect(lastAnswer().siblings).toHaveLength(2);
  await write('Again');
  api.tell({ type: 'finished', id: api.last('generate').id, reason: 'stop', stats });
  await app.chat.ask('More');
  const { prompt } = api.last('generate').request;
  expect(prompt.type === 'chat' && prompt.messages.map((message) => message.content)).toEqual([
    'Tell a story',
    'Again',
    'More',
  ]);
});

test('a failed answer says why and can be tried again in its place', async () => {
  await begin();
  loaded();
  await app.chat.ask('a');
  const failure = { kind: 'disk' as const, message: 'expert 3 of layer 2 could not be read' };
  api.tell({ type: 'failed', id: api.last('generate').id, failure });
  expect(lastAnswer()).toMatchObject({ state: 'failed', failure: failure.message });
  await app.chat.again(lastAnswer().key);
  expect(app.chat.turns).toHaveLength(2);

  api.tell({ type: 'failed', id: api.last('generate').id, failure });
  api.refusal = 'the engine is not running';
  await app.chat.again(lastAnswer().key);
  expect(lastAnswer()).toMatchObject({ state: 'failed', failure: 'the engine is not running' });
});

test('an answer goes on while another chat is shown', async () => {
  await begin();
  loaded();
  await app.chat.ask('a');
  const first = app.chat.entry?.id ?? 0;
  const { id } = api.last('generate');
  await write('one');
  await app.chat.newChat();
  expect(app.chat.turns).toEqual([]);
  expect(app.chat.generating).toBe(false);
  expect(app.chat.busy).toEqual([first]);
  await app.chat.ask('b');
  const second = api.last('generate').id;
  api.tell({ type: 'token', id, text: ' two', tokens: 2 });
  await settle();
  expect(lastAnswer().text).toBe('');
  await app.chat.open(first);
  expect(lastAnswer()).toMatchObject({ text: 'one two', state: 'writing' });
  await app.chat.stop();
  expect(api.of('cancel').map((command) => command.id)).toEqual([id]);
  api.tell({ type: 'finished', id, reason: 'cancelled', stats });
  expect(lastAnswer()).toMatchObject({ text: 'one two', state: 'stopped' });
  expect(app.chat.generating).toBe(false);
  api.tell({ type: 'finished', id: second, reason: 'stop', stats });
  expect(app.chat.busy).toEqual([]);
});

const shown = () => app.chat.turns.map((turn) => turn.text);

async function answered(question: string, answer: string): Promise<void> {
  await app.chat.ask(question);
  await write(answer);
  api.tell({ type: 'finished', id: api.last('generate').id, reason: 'stop', stats });
  await settle();
}

test('an edited question is another branch, and both can be shown', async () => {
  await begin();
  loaded();
  await answered('a', 'A');
  await answered('b', 'B');
  const [first] = app.chat.turns;
  await app.chat.edit(first?.key ?? 0, ' a2 ');
  expect(shown()).toEqual(['a2', '']);
  const { prompt } = api.last('generate').request;
  expect(prompt.type === 'chat' && prompt.messages).toEqual([{ role: 'user', content: 'a2' }]);
  await write('A2');
  api.tell({ type: 'finished', id: api.last('generate').id, reason: 'stop', stats });
  const siblings = app.chat.turns[0]?.siblings ?? [];
  expect(siblings).toHaveLength(2);
  await app.chat.branch(siblings[0] ?? 0);
  expect(shown()).toEqual(['a', 'A', 'b', 'B']);
  await app.chat.open(app.chat.entry?.id ?? 0);
  expect(shown()).toEqual(['a', 'A', 'b', 'B']);
});

test('an answer that was cut goes on where it ended', async () => {
  await begin();
  loaded();
  await app.chat.ask('Count');
  await write('1, ', '2');
  api.tell({ type: 'finished', id: api.last('generate').id, reason: 'max_tokens', stats });
  const cut = lastAnswer();
  await app.chat.resume(cut.key);
  const { prompt } = api.last('generate').request;
  expect(prompt.type === 'chat' && prompt.messages).toEqual([
    { role: 'user', content: 'Count' },
    { role: 'assistant', content: '1, 2' },
  ]);
  expect(lastAnswer()).toMatchObject({ key: cut.key, text: '1, 2', state: 'waiting' });
  await write(', 3');
  api.tell({ type: 'finished', id: api.last('generate').id, reason: 'stop', stats });
  expect(lastAnswer()).toMatchObject({ text: '1, 2, 3', state: 'done' });
  expect(lastAnswer().figures?.generated_tokens).toBe(10);
  expect(app.chat.turns).toHaveLength(2);
});

test('what could not be kept has not happened', async () => {
  await begin();
  loaded();
  await answered('a', 'A');
  app.chat.setDraft('b');
  chats.refusal = 'the disk is full';
  await app.chat.ask('b');
  expect(api.of('generate')).toHaveLength(1);
  expect(app.chat).toMatchObject({ draft: 'b', failure: 'the disk is full', generating: false });
  expect(shown()).toEqual(['a', 'A']);
  await app.chat.again(lastAnswer().key);
  expect(lastAnswer()).toMatchObject({ text: 'A', state: 'done' });
  chats.refusal = null;
  await app.chat.ask('b');
  expect(shown()).toEqual(['a', 'A', 'b', '']);
});

test('the list follows, finds words, and takes a deleted chat back', async () => {
  await begin();
  loaded();
  await answered('first question', 'about trams');
  const first = app.chat.entry?.id ?? 0;
  await app.chat.newChat();
  await answered('second question', 'about lakes');
  expect(app.chats.entries.map((entry) => entry.title)).toEqual(['second question', 'first question']);
  await app.chats.pin(first, true);
  await app.chats.rename(first, 'Trams');
  expect(app.chats.entries.map((entry) => entry.title)).toEqual(['Trams', 'second question']);
  app.chats.lookFor('lakes');
  await settle();
  expect(app.chats.hits).toHaveLength(1);
  app.chats.lookFor('tram');
  await settle();
  const [hit] = app.chats.hits ?? [];
  if (hit) await app.chats.show(hit);
  expect(app.chat.entry).toMatchObject({ id: first, title: 'Trams' });
  app.chats.lookFor('');
  expect(app.chats.hits).toBeNull();

  const [entry] = app.chats.entries;
  if (entry) await app.chats.delete(entry);
  expect(app.chat.turns).toEqual([]);
  expect(app.chats.entries).toHaveLength(1);
  expect(app.chats.deleted?.title).toBe('Trams');
  await app.chats.undo();
  expect(shown()).toEqual(['first question', 'about trams']);
  expect(app.chats.entries).toHaveLength(2);
  if (entry) await app.chats.delete(entry);
  await settle(20_000);
  expect(app.chats.deleted).toBeNull();
});

test('what another window changed is seen when one looks again', async () => {
  await begin();
  loaded();
  await answered('a', 'A');
  await chats.change(app.chat.entry?.id ?? 0, { type: 'rename', title: 'From elsewhere' });
  await app.chats.lookAgain();
  expect(app.chat.entry?.title).toBe('a');
  chats.foreign += 1;
  await app.chats.lookAgain();
  expect(app.chat.entry?.title).toBe('From elsewhere');
});

test('the chat of an earlier version is taken over once', async () => {
  const turns = [
    { id: 1, role: 'user', text: 'old' },
    { id: 2, role: 'assistant', text: 'first try', state: 'interrupted', replaced: true },
    { id: 3, role: 'assistant', text: 'second try', state: 'done' },
    { id: 4, role: 'user', text: 'more' },
    { id: 5, role: 'assistant', text: 'half', state: 'writing' },
  ];
  localStorage.setItem('moestro.conversation.1', JSON.stringify({ turns, draft: 'half a thought' }));
  chats.refusal = 'the chats are in use by another Moestro';
  await begin();
  expect(app.chats.failure).toBe(chats.refusal);
  expect(localStorage.getItem('moestro.conversation.1')).not.toBeNull();
  chats.refusal = null;
  await app.begin();
  expect(shown()).toEqual(['old', 'second try', 'more', 'half']);
  expect(app.chat.turns[1]?.siblings).toHaveLength(2);
  expect(lastAnswer().state).toBe('interrupted');
  expect(app.chat.draft).toBe('half a thought');
  expect(localStorage.getItem('moestro.conversation.1')).toBeNull();
  await app.begin();
  expect(chats.imports).toHaveLength(1);
});

test('the conversation is there again in the next window', async () => {
  await begin();
  loaded();
  app.chat.setDraft('half a th');
  await app.chat.ask('a');
  await write('one');
  app.chat.setDraft('half a thought');
  await settle(2000);
  const next = new AppState(new Recorder(), new RecordedHub(), chats, localStorage);
  await next.begin();
  expect(next.chat.turns.map((turn) => turn.text)).toEqual(['a', 'one']);
  expect(next.chat.turns[1]).toMatchObject({ state: 'interrupted' });
  expect(next.chat.draft).toBe('half a thought');
});
