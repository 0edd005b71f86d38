import createPurifier from 'dompurify';

// Only what our own renderer and highlight.js write. Nothing here can load or run
// anything: no links, images, forms, styles, ids or foreign content.
const tags =
  'p br hr strong em del code pre span blockquote ul ol li h1 h2 h3 h4 h5 h6 table thead tbody tr th td div';

const purifier = createPurifier(window);
purifier.setConfig({
  ALLOWED_TAGS: [...tags.split(' '), '#text'],
  ALLOWED_ATTR: ['class', 'title', 'start', 'align'],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOW_UNKNOWN_PROTOCOLS: false,
});

export function sanitize(html: string): string {
  return purifier.sanitize(html);
}
