import { fireEvent, screen, within } from '@testing-library/svelte';
import { beforeEach, expect, test } from 'vitest';
import { job } from './testing/hub';
import { snapshot } from './testing/recorded';
import { answered, api, app, at, hub, loaded, openWindows, settle } from './testing/window';

openWindows();
beforeEach(() => loaded());

const press = async (key: string, more: object = { ctrlKey: true }) => {
  await fireEvent.keyDown(document.activeElement ?? document.body, { key, ...more });
  await settle();
};
const entries = () => screen.queryAllByTestId('palette-entry').map((entry) => entry.dataset['action']);

test('the commands are found and run by keyboard, which goes back to where it was', async () => {
  await answered('About trams', 'Yes.');
  await app.chat.newChat();
  await settle();
  at('prompt').focus();
  await press('k');
  const field = at('palette-field');
  field.focus();
  expect(entries()).toContain('page-memory');
  await fireEvent.input(field, { target: { value: 'tram' } });
  expect(screen.getAllByTestId('palette-entry')).toHaveLength(1);
  expect(within(at('palette')).getByRole('option').textContent).toContain('About trams');
  await press('Enter', {});
  expect(screen.queryByTestId('palette')).toBeNull();
  expect(at('chat-title').textContent).toBe('About trams');
  expect(document.activeElement).toBe(at('prompt'));

  await press('k');
  at('palette-field').focus();
  await fireEvent.input(at('palette-field'), { target: { value: 'theme' } });
  await press('ArrowDown', {});
  await press('ArrowDown', {});
  const chosen = within(at('palette')).getByRole('option', { selected: true });
  expect(chosen.dataset['action']).toBe('theme-dark');
  expect(at('palette-field').getAttribute('aria-activedescendant')).toBe(chosen.id);
  await press('Enter', {});
  expect(app.settings.value.theme).toBe('dark');

  await press('k');
  await fireEvent.input(at('palette-field'), { target: { value: 'zeppelin' } });
  expect(entries()).toEqual([]);
  expect(at('palette').textContent).toContain('Nothing is called that');
  await fireEvent(at('palette'), new Event('cancel', { cancelable: true }));
  await settle();
  expect(screen.queryByTestId('palette')).toBeNull();
});

test('models are loaded from the commands', async () => {
  api.models = [
    ...api.models,
    { ...api.models[0], path: '/m/other.gguf', name: 'Other', demo: false } as never,
  ];
  await app.library.refresh();
  await press('k');
  await fireEvent.input(at('palette-field'), { target: { value: 'load other' } });
  await fireEvent.click(at('palette-entry'));
  await settle();
  expect(api.last('load').request.model).toBe('/m/other.gguf');
});

test('every shortcut of the list does something, and no two are alike', async () => {
  await answered('a', 'A');
  await press('/');
  const list = at('shortcuts');
  const keys = [...list.querySelectorAll('kbd')].map((key) => key.textContent);
  expect(new Set(keys).size).toBe(keys.length);
  for (const key of ['Ctrl+K', 'Ctrl+N', 'Ctrl+5', 'Ctrl+/', 'Ctrl+0']) expect(keys).toContain(key);
  await fireEvent.click(at('shortcuts-close'));
  await settle();
  await press('3');
  expect(at('page-memory')).toBeTruthy();
  await press('l');
  expect(document.activeElement).toBe(at('prompt'));
  await press('f');
  expect(document.activeElement).toBe(at('chat-search'));
  await press('b');
  expect(screen.queryByTestId('chat-list')).toBeNull();
  await press('f');
  expect(document.activeElement).toBe(at('chat-search'));
  await press(',');
  expect(at('chat-settings-dialog')).toBeTruthy();
  // Under a dialog the page does not listen.
  await press('3');
  expect(screen.queryByTestId('page-memory')).toBeNull();
});

test('everything grows and shrinks, and stays so', async () => {
  await press('+');
  await press('+', { ctrlKey: true, shiftKey: true });
  expect(app.settings.value.zoom).toBe(1.25);
  await press('-');
  expect(api.zooms.at(-1)).toBe(1.1);
  await press('0');
  expect(api.zooms.at(-1)).toBe(1);
  for (let times = 0; times < 12; times += 1) await press('=');
  expect(app.settings.value.zoom).toBe(2);
  await settle(1000);
  expect(api.saved.at(-1)?.zoom).toBe(2);
  await press('5');
  expect(at('zoom-now').textContent).toBe('200%');
  await fireEvent.click(at('zoom-out'));
  expect(app.settings.value.zoom).toBe(1.75);
});

test('a link shows its whole address before it leads anywhere', async () => {
  const address = 'https://аpple.example/a?b=1#c';
  await answered('a', `Read [this](${address}) or [that](file:///etc/passwd).`);
  const links = document.querySelectorAll<HTMLElement>('.markdown button');
  expect(links).toHaveLength(1);
  links[0]?.focus();
  if (links[0]) await fireEvent.click(links[0]);
  expect(api.links).toEqual([]);
  // As the browser reads it: that is no Latin letter.
  expect(at('link-site').textContent).toBe('xn--pple-43d.example');
  expect(at('link-address').textContent).toBe('https://xn--pple-43d.example/a?b=1#c');
  await fireEvent.click(at('link-cancel'));
  expect(api.links).toEqual([]);
  expect(screen.queryByTestId('link-dialog')).toBeNull();
  expect(document.activeElement).toBe(links[0]);
  if (links[0]) await fireEvent.click(links[0]);
  await fireEvent.click(at('link-open'));
  await settle();
  expect(api.links).toEqual(['https://xn--pple-43d.example/a?b=1#c']);
  api.refusal = 'no browser could open it; copy the address instead';
  if (links[0]) await fireEvent.click(links[0]);
  await fireEvent.click(at('link-open'));
  await settle();
  expect(at('notice').textContent).toContain('copy the address');
});

test('long work that ends while one looks elsewhere is told of, if that is wanted', async () => {
  await answered('short', 'x', 100);
  await answered('long but seen', 'x', 20_000);
  expect(api.told).toEqual([]);
  await fireEvent.blur(window);
  await answered('short and not seen', 'x', 100);
  await answered('more', 'x', 20_000);
  expect(api.told).toEqual([['The answer is finished', 'short']]);

  hub.jobs = [job()];
  await app.downloads.add('org/Model', 'Q4');
  hub.jobs = [job({ state: 'done' } as never)];
  await settle(5000);
  expect(api.told.at(-1)).toEqual(['The download is finished', job().name]);
  // Nothing moves any more: the list is left alone.
  const asked = hub.asked.length;
  await settle(60_000);
  expect(hub.asked.length).toBe(asked);

  await press('5');
  await fireEvent.click(at('setting-notify'));
  await answered('again', 'x', 20_000);
  expect(api.told).toHaveLength(2);
});

test('presets of memory set the sliders, and moving one leaves them', async () => {
  await press('3');
  await fireEvent.click(at('memory-preset-minimum'));
  await settle();
  expect(api.last('configure').memory).toMatchObject({ ram_budget: 5_000_000, context: null });
  expect(at('memory-preset-minimum').getAttribute('aria-pressed')).toBe('true');
  await fireEvent.click(at('memory-preset-long'));
  await settle(4000);
  expect(api.last('configure').memory).toMatchObject({ ram_budget: null, context: 2048 });
  expect(at('memory-preset-minimum').getAttribute('aria-pressed')).toBe('false');
  app.memory.want({ context: 1000 });
  await settle();
  expect(at('memory-preset-long').getAttribute('aria-pressed')).toBe('false');
});

test('a report says what this machine does, and nothing of the chats', async () => {
  await answered('a secret question', 'a secret answer');
  api.tell({ type: 'snapshot', snapshot: snapshot(1000, { tokens_per_second: 12 }) });
  await press('3');
  await fireEvent.click(at('save-report'));
  await settle();
  const [name, text] = api.reports[0] ?? ['', ''];
  expect(name).toBe('moestro-report.json');
  expect(text).not.toContain('secret');
  const report = JSON.parse(text);
  expect(report).toMatchObject({
    hardware: { cpu: 'A processor' },
    model: { name: 'Demo' },
    snapshot: { tokens_per_second: 12 },
    history: { tokens_per_second: [12] },
  });
  expect(at('report-saved').textContent).toContain('/home/ada/moestro-report.json');
  api.exit('it was killed (signal 9)');
  await settle();
  expect(within(at('engine-stopped')).getByLabelText('Copy a report')).toBeTruthy();
});

test('settings of a chat are saved under a name and taken over in another', async () => {
  await press(',');
  await fireEvent.input(at('setting-chat-temperature'), { target: { value: '0.3' } });
  await fireEvent.input(at('preset-name'), { target: { value: 'Careful' } });
  await fireEvent.click(at('preset-save'));
  expect(at('own-preset').textContent?.trim()).toBe('Careful');
  expect(at('own-preset').getAttribute('aria-pressed')).toBe('true');
  await fireEvent.input(at('setting-chat-temperature'), { target: { value: '1' } });
  expect(at('own-preset').getAttribute('aria-pressed')).toBe('false');
  await fireEvent.click(at('own-preset'));
  expect(app.chat.settings.temperature).toBe(0.3);
  await fireEvent.click(at('own-preset-delete'));
  expect(screen.queryByTestId('own-preset')).toBeNull();
});
