import type { Token, Tokens } from 'marked';
import { highlight } from './highlight';
import { language, lex, plain, render, type Links } from './render';
import { sanitize } from './sanitize';

/** One paragraph, list, table … or one block of code, ready to be shown. */
export interface Block {
  key: number;
  html: string;
  code: { text: string; language: string } | null;
}

/** Nesting beyond this is an attack on the parser's stack, not a text. */
const DEEPEST = 40;
// No character fits two of the alternatives, or a failed match would take exponential time.
const tooDeep = new RegExp(`(?:[>*+-][ \\t]*|\\d{1,9}[.)][ \\t]+|[\\[(_~]){${DEEPEST}}`);

/**
 * Markdown that grows at its end: finished blocks are parsed and sanitised once,
 * only the last one again when text arrives.
 */
export class Blocks {
  /** How often a block was rendered, for the tests. */
  rendered = 0;

  #finished: Block[] = [];
  #finishedText = '';
  #links: Links = {};

  update(text: string): Block[] {
    const source = text.replace(/\r\n?/g, '\n');
    if (!source.startsWith(this.#finishedText)) this.#restart();
    const rest = source.slice(this.#finishedText.length);
    let tokens: Token[];
    try {
      tokens = tooDeep.test(rest) && isDeep(rest) ? [] : lex(rest, this.#links);
    } catch {
      tokens = [];
    }
    if (tokens.length === 0) {
      return rest.trim() === '' ? [...this.#finished] : [...this.#finished, this.#plainBlock(rest)];
    }
    const last = tokens.findLastIndex((token) => token.type !== 'space');
    const whole = tokens.reduce((sum, token) => sum + token.raw.length, 0) === rest.length;
    const open: Block[] = [];
    tokens.forEach((token, index) => {
      const finished = whole && index < last;
      if (finished) this.#finish(token);
      if (token.type === 'space' || token.type === 'def') return;
      const block = this.#render(token, this.#finished.length + open.length);
      (finished ? this.#finished : open).push(block);
    });
    return [...this.#finished, ...open];
  }

  #finish(token: Token): void {
    this.#finishedText += token.raw;
    if (token.type !== 'def') return;
    const { tag, href, title } = token as Tokens.Def;
    this.#links[tag] ??= { href, title };
  }

  #restart(): void {
    this.#finished = [];
    this.#finishedText = '';
    this.#links = {};
  }

  #render(token: Token, key: number): Block {
    this.rendered += 1;
    try {
      if (token.type === 'code') {
        const { text, lang } = token as Tokens.Code;
        const name = language(lang);
        return { key, html: sanitize(highlight(text, name)), code: { text, language: name } };
      }
      return { key, html: render(token), code: null };
    } catch {
      return { key, html: plain(token.raw), code: null };
    }
  }

  #plainBlock(source: string): Block {
    this.rendered += 1;
    return { key: this.#finished.length, html: plain(source), code: null };
  }
}

/** Rules such as `-----` and `*****` are long without being deep. */
function isDeep(source: string): boolean {
  return source.split('\n').some((line) => tooDeep.test(line) && !/^\s*([-*_=~`])(?:\s*\1)*\s*$/.test(line));
}
