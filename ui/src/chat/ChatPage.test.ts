import { fireEvent, screen } from '@testing-library/svelte';
import { tick } from 'svelte';
import { expect, test } from 'vitest';
import { stats } from '../testing/recorded';
import { api, all, answered, app, ask, at, loaded, openWindows, settle, words } from '../testing/window';

openWindows();

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
  app.settings.change({ system_prompt: 'For all.', max_tokens: 99 });
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
  expect(app.chat.settings.system_prompt).toBeNull();
  await app.chat.open(app.chats.entries[0]?.id ?? 0);
  expect(app.chat.settings).toMatchObject({ system_prompt: 'For this.', seed: 7, stop: ['END', 'STOP'] });
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

test('the context of another chat is not shown for this one', async () => {
  await loaded();
  const id = await ask('x');
  api.tell({ type: 'finished', id, reason: 'stop', stats });
  await settle(1000);
  api.tell({ type: 'counted', id: api.last('count').id, tokens: [0, 500] });
  await settle(0);
  expect(at('context-use').textContent).toContain('Context 500 of');
  await app.chat.newChat();
  await settle(0);
  expect(at('context-use').textContent).toContain('Context … of');
  await settle(1000);
  api.tell({ type: 'counted', id: api.last('count').id, tokens: [0, 0] });
  await settle(0);
  expect(at('context-use').textContent).toContain('Context 0 of');
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

test('another model is chosen above the chat', async () => {
  await loaded();
  api.models = [
    ...api.models,
    { ...api.models[0], path: '/m/other.gguf', name: 'Other', demo: false } as never,
  ];
  await app.library.refresh();
  await settle();
  expect(at('model-picker').textContent).toContain('Demo');
  await fireEvent.click(at('model-picker'));
  await settle();
  expect(at('model-picker-model-0').getAttribute('aria-checked')).toBe('true');
  await fireEvent.click(at('model-picker-model-1'));
  await settle();
  expect(api.last('load').request.model).toBe('/m/other.gguf');
});
