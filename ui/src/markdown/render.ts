import { Marked, type RendererObject, type Token, type TokensList } from 'marked';
import { escapeHtml, isWeb } from './escape';
import { highlight } from './highlight';
import { formulas } from './math';
import { sanitize } from './sanitize';

/** An address as text: it can be read and copied, not followed. */
function address(href: string): string {
  return `<span class="address">${escapeHtml(href)}</span>`;
}

// What a model writes is data. HTML in it is shown as text, images as words with
// their address, and links as buttons that ask before they lead to the web, so that
// no answer can load, open or run anything.
const renderer: RendererObject = {
  html({ text, block }) {
    return block ? `<p class="raw">${escapeHtml(text.trimEnd())}</p>` : escapeHtml(text);
  },
  image({ href, text }) {
    return `<span class="image">${escapeHtml(text)} ${address(href)}</span>`;
  },
  link({ href, tokens }) {
    const label = this.parser.parseInline(tokens);
    const shown = tokens.map((token) => token.raw).join('');
    if (isWeb(href)) return `<button class="link" title="${escapeHtml(href)}">${label}</button>`;
    if (shown === href || `mailto:${shown}` === href) return address(shown);
    return `<span class="link" title="${escapeHtml(href)}">${label}</span> ${address(href)}`;
  },
  checkbox({ checked }) {
    return checked ? '☑ ' : '☐ ';
  },
  code({ text, lang }) {
    return `<pre><code>${highlight(text, language(lang))}</code></pre>`;
  },
  table(token) {
    const row = (cells: typeof token.header, tag: 'th' | 'td') =>
      `<tr>${cells
        .map((cell) => {
          const align = cell.align ? ` align="${cell.align}"` : '';
          return `<${tag}${align}>${this.parser.parseInline(cell.tokens)}</${tag}>`;
        })
        .join('')}</tr>`;
    const body = token.rows.map((cells) => row(cells, 'td')).join('');
    return `<div class="table"><table><thead>${row(token.header, 'th')}</thead><tbody>${body}</tbody></table></div>`;
  },
};

// Two searches of marked take quadratic time: for the ends of emphasis in a long
// paragraph, and for addresses in a long word. There the text stays as it is written.
const LONGEST_EMPHASIZED = 6000;
const longWord = /^[^\s`<[]{1000}/;

const marked = new Marked({ gfm: true, breaks: true, renderer });
marked.use(formulas);
marked.use({
  tokenizer: {
    emStrong: (_source, paragraph) => (paragraph.length > LONGEST_EMPHASIZED ? undefined : false),
    del: (source) => (source.length > LONGEST_EMPHASIZED ? undefined : false),
    url: (source) => (longWord.test(source) ? undefined : false),
    inlineText(source) {
      if (!longWord.test(source)) return false;
      const word = /^[^\s`<[]+/.exec(source)?.[0] ?? '';
      return { type: 'text', raw: word, text: word, escaped: false };
    },
  },
});

/** First word after the fence: `rust,ignore` and `rust title=x` are `rust`. */
export function language(info: string | undefined): string {
  return /^[^\s,{]*/.exec(info ?? '')?.[0].toLowerCase() ?? '';
}

export type Links = TokensList['links'];

/** Top-level blocks of `source`; `links` are the link targets that came before. */
export function lex(source: string, links: Links): Token[] {
  const lexer = new marked.Lexer(marked.defaults);
  Object.assign(lexer.tokens.links, links);
  return lexer.lex(source);
}

/** One block as safe HTML. */
export function render(token: Token): string {
  return sanitize(marked.parser([token]).trimEnd());
}

/** Safe HTML of something that is no Markdown at all. */
export function plain(source: string): string {
  return sanitize(`<p class="raw">${escapeHtml(source)}</p>`);
}
