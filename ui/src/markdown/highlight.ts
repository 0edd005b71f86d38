import hljs from 'highlight.js/lib/common';
import { escapeHtml } from './escape';

/** Longer code stays plain: colouring it again with every token would hold up the page. */
const LONGEST = 30_000;

/** Code as HTML with `hljs-*` classes; escaped text if the language is not known. */
export function highlight(code: string, language: string): string {
  if (code.length > LONGEST || !hljs.getLanguage(language)) return escapeHtml(code);
  try {
    return hljs.highlight(code, { language, ignoreIllegals: true }).value;
  } catch {
    return escapeHtml(code);
  }
}
