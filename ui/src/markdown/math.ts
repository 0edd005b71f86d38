import katex from 'katex';
import type { TokenizerAndRendererExtension } from 'marked';
import { escapeHtml } from './escape';

/** Longer formulas are an attack on the layout, not a formula. */
const LONGEST = 4000;
/** How far ahead a formula is looked for; a search to the end would take quadratic time. */
const AHEAD = 5000;
const MOST_TRIED = 20;
const LONGEST_PARAGRAPH = 6000;

/** Macros of one's own double themselves into all memory within what `maxExpand` allows. */
const definition = /\\(?:[gex]?def|let|futurelet|global|long|(?:re)?newcommand|providecommand)(?![a-zA-Z])/;
/** A formula this long as HTML holds up the page. */
const LONGEST_HTML = 100_000;

interface Formula {
  type: string;
  raw: string;
  tex: string;
  display: boolean;
  /** Its end has not come yet. */
  open: boolean;
}

/** A formula as HTML that still has to be sanitised; its source if it is none. */
export function formula(tex: string, display: boolean): string {
  const source = `<code>${escapeHtml(tex)}</code>`;
  if (tex.length > LONGEST || definition.test(tex)) return source;
  try {
    const html = katex.renderToString(tex, {
      displayMode: display,
      output: 'html',
      // A command that is not known is shown by its name, the rest is drawn.
      throwOnError: false,
      errorColor: 'inherit',
      strict: 'ignore',
      // No links, no pictures, no classes or styles of the model's choice.
      trust: false,
      maxExpand: 300,
      maxSize: 20,
    });
    if (html.length > LONGEST_HTML || html.includes('class="katex-error"')) return source;
    // The drawing is hidden from screen readers, its source is not.
    return `${html}<span class="hidden-text">${escapeHtml(tex)}</span>`;
  } catch {
    return source;
  }
}

function between(source: string, open: string, close: string): string | null {
  if (!source.startsWith(open)) return null;
  const end = source.slice(0, LONGEST + open.length).indexOf(close, open.length);
  const tex = end < 0 ? '' : source.slice(open.length, end);
  return tex.trim() === '' || tex.includes('\n\n') ? null : tex;
}

/** `$10 or 20$` is money. */
const money = /^\d[\d.,]*[kKMB]?\s+[a-z][^\\^_={}]*$/i;

/**
 * `$x$`. Prices and variables such as $5 and $6 or $HOME/$USER are none: no space
 * inside the marks, no letter or digit behind.
 */
function dollars(source: string): string | null {
  const tex = /^\$((?:\\[^\n]|[^$\\\n]){1,1000})\$(?![\dA-Za-z])/.exec(source)?.[1] ?? '';
  return tex === '' || /^\s|\s$/.test(tex) || money.test(tex) ? null : tex;
}

const inline: TokenizerAndRendererExtension = {
  name: 'formula',
  level: 'inline',
  start(source) {
    // Each mark is a place where the lexer begins anew, with all that is left.
    if (source.length > LONGEST_PARAGRAPH) return undefined;
    const index = source.search(/\$|\\[([]/);
    return index < 0 ? undefined : index;
  },
  tokenizer(source): Formula | undefined {
    const token = (tex: string, marks: number, display: boolean): Formula => ({
      type: 'formula',
      raw: source.slice(0, tex.length + marks),
      tex,
      display,
      open: false,
    });
    const shown = between(source, '$$', '$$') ?? between(source, '\\[', '\\]');
    if (shown !== null) return token(shown, 4, true);
    const bracket = between(source, '\\(', '\\)');
    if (bracket !== null) return token(bracket, 4, false);
    const dollar = dollars(source);
    return dollar === null ? undefined : token(dollar, 2, false);
  },
  renderer: (token) => draw(token as unknown as Formula),
};

/** The formula on lines of its own that `source` begins with. */
function blockAt(source: string): Formula | undefined {
  const start = /^ {0,3}(\$\$|\\\[)/.exec(source);
  if (!start) return undefined;
  const close = start[1] === '$$' ? '$$' : '\\]';
  const rest = source.slice(start[0].length, start[0].length + LONGEST);
  const end = rest.indexOf(close);
  if (end >= 0) {
    const tex = rest.slice(0, end);
    const behind = /^[ \t]*(?:\n|$)/.exec(rest.slice(end + close.length));
    if (!behind || tex.trim() === '') return undefined;
    const length = start[0].length + end + close.length + behind[0].length;
    return { type: 'formulaBlock', raw: source.slice(0, length), tex, display: true, open: false };
  }
  // What streams in is no paragraph until its end has come.
  if (!/^[ \t]*\n/.test(rest) || source.length > LONGEST) return undefined;
  return { type: 'formulaBlock', raw: source, tex: rest, display: true, open: true };
}

const block: TokenizerAndRendererExtension = {
  name: 'formulaBlock',
  level: 'block',
  start(source) {
    const near = source.slice(0, AHEAD).matchAll(/\n(?= {0,3}(?:\$\$|\\\[))/g);
    for (const { index } of [...near].slice(0, MOST_TRIED)) {
      if (blockAt(source.slice(index + 1))) return index + 1;
    }
    return undefined;
  },
  tokenizer: blockAt,
  renderer: (token) => draw(token as unknown as Formula),
};

function draw({ tex, display, open }: Formula): string {
  const html = open ? `<code>${escapeHtml(tex)}</code>` : formula(tex, display);
  return `<span class="formula${display ? ' display' : ''}">${html}</span>`;
}

export const formulas = { extensions: [block, inline] };
