import { expect, test } from 'vitest';
import type { ChatEntry } from '../bindings/ChatEntry';
import { groups } from './groups';

const now = new Date(2026, 10, 21, 22, 0).getTime();
const hours = (count: number) => now - count * 3_600_000;

test('pinned chats, folders, then days', () => {
  const entry = (id: number, changed: number, patch: Partial<ChatEntry> = {}): ChatEntry => ({
    id,
    title: String(id),
    folder: '',
    pinned: false,
    created: 0,
    changed,
    ...patch,
  });
  const entries = [
    entry(1, hours(500), { pinned: true, folder: 'Work' }),
    entry(2, hours(1)),
    entry(3, hours(23)),
    entry(4, hours(100)),
    entry(5, hours(300)),
    entry(6, hours(2), { folder: 'Work' }),
    entry(7, hours(3), { folder: 'Art' }),
  ];
  const all = groups(entries, now).map((group) => [group.name, group.entries.map((e) => e.id)]);
  expect(all).toEqual([
    ['Pinned', [1]],
    ['Art', [7]],
    ['Work', [6]],
    ['Today', [2]],
    ['Yesterday', [3]],
    ['The last seven days', [4]],
    ['Earlier', [5]],
  ]);
  expect(groups([], now)).toEqual([]);
});
