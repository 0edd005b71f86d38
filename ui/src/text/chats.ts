// Texts of the list of chats.
import * as format from '../format';

export const chats = {
  label: 'Chats',
  list: 'All chats',
  show: 'Show the list of chats',
  hide: 'Hide the list of chats',
  search: 'Search chats',
  clearSearch: 'Clear the search',
  found: (count: number) => (count === 1 ? '1 chat found' : `${format.number(count)} chats found`),
  nothingFound: 'Nothing found. Words are also found by their beginning.',
  empty: 'Chats you begin are kept here.',
  pinned: 'Pinned',
  today: 'Today',
  yesterday: 'Yesterday',
  week: 'The last seven days',
  earlier: 'Earlier',
  answering: 'being answered',
  more: (title: string) => `More for ${title}`,
  rename: 'Rename',
  renameField: 'Name of the chat',
  pin: 'Pin',
  unpin: 'Unpin',
  folder: 'Move to folder…',
  folderField: 'Folder (empty for none)',
  exportMarkdown: 'Export as Markdown…',
  exportJson: 'Export as JSON…',
  exportAll: 'Export all…',
  import: 'Import…',
  importTitle: 'Adds chats exported by Moestro, or the conversations.json of an OpenAI export',
  delete: 'Delete',
  deleted: (title: string) => `“${title}” was deleted.`,
  undo: 'Undo',
  exported: (path: string) => `Written to ${path}`,
  imported: (added: number, known: number, skipped: number) =>
    `${format.number(added)} added, ${format.number(known)} were here already` +
    (skipped > 0 ? `, ${format.number(skipped)} could not be read.` : '.'),
} as const;
