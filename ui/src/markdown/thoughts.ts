export interface Split {
  /** What the model thought before it answered; null if it did not. */
  thoughts: string | null;
  answer: string;
  /** Are the thoughts still open? */
  thinking: boolean;
}

const OPEN = '<think>';
const CLOSE = '</think>';

/** Sets the thoughts at the beginning of an answer apart from it. */
export function split(text: string): Split {
  const start = text.trimStart();
  // The mark itself comes in pieces.
  if (start.length < OPEN.length && start !== '' && OPEN.startsWith(start)) {
    return { thoughts: '', answer: '', thinking: true };
  }
  if (!start.startsWith(OPEN)) return { thoughts: null, answer: text, thinking: false };
  const end = start.indexOf(CLOSE);
  if (end < 0) {
    return { thoughts: withoutPart(start.slice(OPEN.length)).trim(), answer: '', thinking: true };
  }
  const thoughts = start.slice(OPEN.length, end).trim();
  const answer = start.slice(end + CLOSE.length).replace(/^\s+/, '');
  return { thoughts: thoughts === '' ? null : thoughts, answer, thinking: false };
}

/** Without the beginning of the closing mark, whose rest is on its way. */
function withoutPart(text: string): string {
  for (let length = CLOSE.length - 1; length > 0; length -= 1) {
    if (text.endsWith(CLOSE.slice(0, length))) return text.slice(0, -length);
  }
  return text;
}
