import createPurifier from 'dompurify';
import { isWeb } from './escape';

// Only what our own renderer, highlight.js and KaTeX write. Nothing here can load or
// run anything by itself: no links, images, forms, ids or foreign content.
const tags =
  'p br hr strong em del code pre span blockquote ul ol li h1 h2 h3 h4 h5 h6 table thead tbody tr th td div button';
/** Drawn parts of formulas: roots, braces, arrows. */
const drawn = 'svg path line';
const drawing = 'd viewBox width height preserveAspectRatio x1 x2 y1 y2 stroke-width style';

const purifier = createPurifier(window);
purifier.setConfig({
  ALLOWED_TAGS: [...tags.split(' '), ...drawn.split(' '), '#text'],
  ALLOWED_ATTR: ['class', 'title', 'start', 'align', ...drawing.split(' ')],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOW_UNKNOWN_PROTOCOLS: false,
});

const isDrawn = new Set(drawn.split(' '));
const isDrawing = new Set(drawing.split(' '));
const inFormula = (node: Element) => node.closest('.katex') !== null;

/** The only button: it asks before it opens the address in its title. */
const isLink = (node: Element) => node.className === 'link' && isWeb(node.getAttribute('title') ?? '');

purifier.addHook('uponSanitizeElement', (node, { tagName }) => {
  if (!(node instanceof Element)) return;
  if (isDrawn.has(tagName) && !inFormula(node)) node.remove();
  if (tagName === 'button' && !isLink(node)) node.remove();
});
purifier.addHook('uponSanitizeAttribute', (node, data) => {
  if (!isDrawing.has(data.attrName)) return;
  data.keepAttr = inFormula(node);
  if (data.attrName === 'style') data.attrValue = harmless(data.attrValue);
});

/** What KaTeX places parts of a formula with; no addresses, no way out of the formula. */
const placing =
  /^(?:height|(?:min-|max-)?width|vertical-align|top|bottom|left|right|(?:margin|padding|border)(?:-(?:top|right|bottom|left))?(?:-(?:width|style|color))?|(?:background-)?color|text-shadow|position)$/;

/** In em; larger ones would leave the formula's place. */
const LARGEST = 200;

function harmless(style: string): string {
  const kept = style.split(';').filter((declaration) => {
    const [name = '', value = ''] = declaration.split(':').map((part) => part.trim());
    if (!placing.test(name) || !/^[\w\s.#%-]+$/.test(value)) return false;
    if (Math.abs(Number(/^(-?[\d.]+)em$/.exec(value)?.[1] ?? 0)) > LARGEST) return false;
    return name !== 'position' || value === 'relative';
  });
  return kept.join(';');
}

export function sanitize(html: string): string {
  return purifier.sanitize(html);
}
