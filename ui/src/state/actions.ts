import { tick } from 'svelte';
import type { Theme } from '../bindings/Theme';
import { copy } from '../copy';
import { split } from '../markdown/thoughts';
import { text } from '../text';
import type { AppState } from './app.svelte';
import { pages } from './page.svelte';
import { nextZoom } from './zoom';

const words = text.habits.palette;
type Group = keyof typeof words.groups;

/** Something a person can do from anywhere. */
export interface Action {
  id: string;
  group: Group;
  label: string;
  /** As it is written in the lists: `Ctrl+K`. */
  keys?: string;
  run: () => unknown;
}

const themes: readonly Theme[] = ['system', 'light', 'dark'];
/** Elements that an action leads to; they are there when their page is. */
export const places = { prompt: 'prompt', chatSearch: 'chat-search' } as const;

async function focus(id: string): Promise<void> {
  await tick();
  document.getElementById(id)?.focus();
}

/** What does not depend on chats and models: also what the shortcuts do. */
export function actions(app: AppState): Action[] {
  const { page, chat, chats, settings, model } = app;
  const inChat = (run: () => unknown) => () => {
    page.open('chat');
    return run();
  };
  const all: (Action | false)[] = [
    ...pages.map((name, index) => ({
      id: `page-${name}`,
      group: 'pages' as const,
      label: words.goTo(text.nav[name]),
      keys: `Ctrl+${index + 1}`,
      run: () => page.open(name),
    })),
    {
      id: 'find-models',
      group: 'pages',
      label: words.findModels,
      run: () => {
        page.models = 'find';
        page.open('models');
      },
    },
    {
      id: 'new-chat',
      group: 'chat',
      label: text.chat.newChat,
      keys: 'Ctrl+N',
      run: inChat(async () => {
        if (chat.turns.length > 0) await chat.newChat();
        await focus(places.prompt);
      }),
    },
    {
      id: 'write',
      group: 'chat',
      label: words.write,
      keys: 'Ctrl+L',
      run: inChat(() => focus(places.prompt)),
    },
    {
      id: 'search-chats',
      group: 'chat',
      label: words.searchChats,
      keys: 'Ctrl+F',
      run: inChat(() => {
        if (!page.chatList) page.toggleChatList();
        return focus(places.chatSearch);
      }),
    },
    {
      id: 'chat-list',
      group: 'chat',
      label: page.chatList ? text.chats.hide : text.chats.show,
      keys: 'Ctrl+B',
      run: inChat(() => page.toggleChatList()),
    },
    chat.entry !== null && {
      id: 'chat-settings',
      group: 'chat',
      label: words.chatSettings,
      keys: 'Ctrl+,',
      run: inChat(() => (page.overlay = 'chat_settings')),
    },
    chat.last?.role === 'assistant' && {
      id: 'copy-answer',
      group: 'chat',
      label: words.copyAnswer,
      keys: 'Ctrl+Shift+C',
      run: () => copy(split(chat.last?.text ?? '').answer),
    },
    chat.generating && { id: 'stop', group: 'chat', label: words.stop, keys: 'Esc', run: () => chat.stop() },
    chat.turns.length > 0 && {
      id: 'export-markdown',
      group: 'chat',
      label: text.chats.exportMarkdown,
      run: () => chats.exportTo(chat.entry?.id ?? null, 'markdown'),
    },
    { id: 'import', group: 'chat', label: text.chats.import, run: inChat(() => chats.importFile()) },
    model.phase === 'loaded' && {
      id: 'unload',
      group: 'models',
      label: words.unloadModel,
      run: () => app.unload(),
    },
    {
      id: 'palette',
      group: 'window',
      label: text.habits.shortcuts.palette,
      keys: 'Ctrl+K',
      run: () => (page.overlay = 'palette'),
    },
    {
      id: 'shortcuts',
      group: 'window',
      label: text.habits.shortcuts.open,
      keys: 'Ctrl+/',
      run: () => (page.overlay = 'shortcuts'),
    },
    ...themes.map((theme) => ({
      id: `theme-${theme}`,
      group: 'window' as const,
      label: words.theme(text.settings.themes[theme]),
      run: () => settings.change({ theme }),
    })),
    {
      id: 'larger',
      group: 'window',
      label: text.habits.zoom.larger,
      keys: 'Ctrl++',
      run: () => settings.change({ zoom: nextZoom(settings.value.zoom, 1) }),
    },
    {
      id: 'smaller',
      group: 'window',
      label: text.habits.zoom.smaller,
      keys: 'Ctrl+-',
      run: () => settings.change({ zoom: nextZoom(settings.value.zoom, -1) }),
    },
    {
      id: 'usual-size',
      group: 'window',
      label: text.habits.zoom.usual,
      keys: 'Ctrl+0',
      run: () => settings.change({ zoom: 1 }),
    },
    { id: 'report', group: 'window', label: words.report, run: () => app.saveReport() },
  ];
  return all.filter((action) => action !== false);
}

/** Chats to open and models to load. */
export function destinations(app: AppState): Action[] {
  const { page, chat, chats, library, model } = app;
  const open = chats.entries
    .filter((entry) => entry.id !== chat.entry?.id || page.current !== 'chat')
    .map((entry) => ({
      id: `chat-${entry.id}`,
      group: 'chats' as const,
      label: words.openChat(entry.title || text.chat.untitled),
      run: () => {
        page.open('chat');
        return chat.open(entry.id);
      },
    }));
  const load = library.entries
    .filter((entry) => !entry.missing && !entry.incomplete && !(entry.path === model.path && model.info))
    .map((entry) => ({
      id: `load-${entry.path}`,
      group: 'models' as const,
      label: words.loadModel(entry.name),
      run: () => app.load(entry.path),
    }));
  return [...open, ...load];
}

/** The key of an event as the lists write it; null without Ctrl. */
export function keysOf(event: KeyboardEvent): string | null {
  if (!event.ctrlKey || event.altKey || event.metaKey) return null;
  // These are typed with Shift on some keyboards and without it on others.
  if (event.key === '+' || event.key === '=') return 'Ctrl++';
  if (event.key === '/' || event.key === '?') return 'Ctrl+/';
  if (event.key === '-' || event.key === '_') return 'Ctrl+-';
  const key = event.key.length === 1 ? event.key.toUpperCase() : event.key;
  return event.shiftKey ? `Ctrl+Shift+${key}` : `Ctrl+${key}`;
}

/** Every word of `wanted` is in the label; those that begin with it come first. */
export function matching(all: readonly Action[], wanted: string): Action[] {
  const parts = wanted
    .toLowerCase()
    .split(/\s+/)
    .filter((part) => part !== '');
  const rank = (label: string) =>
    label.startsWith(parts[0] ?? '') ? 0 : label.includes(` ${parts[0] ?? ''}`) ? 1 : 2;
  const found = all.filter(({ label }) => parts.every((part) => label.toLowerCase().includes(part)));
  if (parts.length === 0) return found;
  return found.sort((a, b) => rank(a.label.toLowerCase()) - rank(b.label.toLowerCase()));
}
