import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { recordedApp } from '../testing/app';

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

test('settings of a chat are kept under a name, used in another and deleted', async () => {
  const { app, api } = recordedApp();
  await app.begin();
  await vi.advanceTimersByTimeAsync(300);
  const { chat, settings } = app;
  chat.changeSettings({ temperature: 0.3, system_prompt: 'Be brief.', stop: ['END'], at_limit: 'keep_last' });
  settings.keepPreset('  Short  ', chat.settings);
  settings.keepPreset('Other', chat.settings);
  chat.changeSettings({ temperature: 0.4 });
  expect(settings.value.presets.map(({ name }) => name)).toEqual(['Other', 'Short']);
  expect(settings.value.presets[1]?.settings.temperature).toBe(0.3);

  settings.keepPreset('Short', chat.settings);
  expect(settings.value.presets).toHaveLength(2);
  await chat.newChat();
  const kept = settings.value.presets.find(({ name }) => name === 'Short');
  chat.changeSettings(kept?.settings ?? {});
  expect(chat.settings).toMatchObject({ temperature: 0.4, system_prompt: 'Be brief.', stop: ['END'] });

  settings.dropPreset('Other');
  await vi.advanceTimersByTimeAsync(1000);
  expect(api.saved.at(-1)?.presets).toMatchObject([{ name: 'Short', settings: { temperature: 0.4 } }]);
  settings.keepPreset('   ', chat.settings);
  expect(settings.value.presets).toHaveLength(1);
});
