import type { ChatEntry } from '../bindings/ChatEntry';
import { text } from '../text';

export interface Group {
  name: string;
  entries: ChatEntry[];
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Pinned chats, then folders by name, then the others by the day of their last change. */
export function groups(entries: readonly ChatEntry[], now: number): Group[] {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  const age = ({ changed }: ChatEntry) => {
    if (changed >= midnight) return text.chats.today;
    if (changed >= midnight - DAY_MS) return text.chats.yesterday;
    return changed >= midnight - 6 * DAY_MS ? text.chats.week : text.chats.earlier;
  };
  const named = [...new Set(entries.map((entry) => entry.folder))].filter((folder) => folder !== '');
  const all: Group[] = [
    { name: text.chats.pinned, entries: entries.filter((entry) => entry.pinned) },
    ...named
      .sort((a, b) => a.localeCompare(b))
      .map((name) => ({ name, entries: entries.filter((entry) => !entry.pinned && entry.folder === name) })),
  ];
  for (const name of [text.chats.today, text.chats.yesterday, text.chats.week, text.chats.earlier]) {
    const of = entries.filter((entry) => !entry.pinned && entry.folder === '' && age(entry) === name);
    all.push({ name, entries: of });
  }
  return all.filter((group) => group.entries.length > 0);
}
