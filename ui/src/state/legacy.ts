// Chats of versions before 0.2 lie in the page's own storage. They are taken over once.
const KEY = 'moestro.conversation.1';

const states = ['done', 'stopped', 'interrupted', 'failed'];

interface Kept {
  id: number;
  parent: number | null;
  role: 'user' | 'assistant';
  text: string;
  state: string;
}

/** One export of Moestro with the chat that was there; null if there is none. */
export function legacyExport(storage: Storage): { text: string; draft: string } | null {
  let kept: unknown;
  try {
    kept = JSON.parse(storage.getItem(KEY) ?? 'null');
  } catch {
    return null;
  }
  if (typeof kept !== 'object' || kept === null) return null;
  const { turns, draft } = kept as { turns?: unknown; draft?: unknown };
  const messages: Kept[] = [];
  let parent: number | null = null;
  let question: number | null = null;
  for (const turn of Array.isArray(turns) ? turns : []) {
    if (typeof turn !== 'object' || turn === null) continue;
    const { role, text, state } = turn as Record<string, unknown>;
    if (typeof text !== 'string' || (role !== 'user' && role !== 'assistant')) continue;
    const id = messages.length + 1;
    // Attempts at the same question lie side by side now.
    const after: number | null = role === 'assistant' && question !== null ? question : parent;
    const whole = states.includes(String(state)) ? String(state) : 'interrupted';
    messages.push({ id, parent: after, role, text, state: role === 'user' ? 'done' : whole });
    if (role === 'user') question = id;
    parent = id;
  }
  const chat = { messages, leaf: parent };
  return {
    text: messages.length === 0 ? '' : JSON.stringify({ format: 'moestro-chats', version: 1, chats: [chat] }),
    draft: typeof draft === 'string' ? draft : '',
  };
}

export function forgetLegacy(storage: Storage): void {
  storage.removeItem(KEY);
}
