const allowedTags = new Set(
  'P BR HR STRONG EM DEL CODE PRE SPAN BLOCKQUOTE UL OL LI H1 H2 H3 H4 H5 H6 TABLE THEAD TBODY TR TH TD DIV BUTTON'.split(
    ' ',
  ),
);
const allowedAttributes = new Set(['class', 'title', 'start', 'align']);
const drawn = new Set(['svg', 'path', 'line']);
const drawing = new Set(
  'd viewBox width height preserveAspectRatio x1 x2 y1 y2 stroke-width style xmlns'.split(' '),
);

/** Everything in `html` that could load, run, lead anywhere or leave its place. */
export function dangers(html: string): string[] {
  const page = new DOMParser().parseFromString(html, 'text/html');
  return [...page.body.querySelectorAll('*')].flatMap((element) => {
    const formula = element.closest('.katex') !== null;
    const tag = allowedTags.has(element.tagName) || (formula && drawn.has(element.tagName));
    const attributes = [...element.attributes].filter(
      ({ name }) => !allowedAttributes.has(name) && !(formula && drawing.has(name)),
    );
    return [
      ...(tag ? [] : [element.tagName]),
      ...attributes.map(({ name }) => `${element.tagName}[${name}]`),
      ...misplaced(element.getAttribute('style') ?? ''),
      ...(element.tagName === 'BUTTON' ? wayOut(element) : []),
    ];
  });
}

function misplaced(style: string): string[] {
  const sizes = [...style.matchAll(/-?\d+(?:\.\d+)?(?=em)/g)].filter(
    ([size]) => Math.abs(Number(size)) > 200,
  );
  const other = /url|\(|fixed|absolute|expression|@/.exec(style);
  return [...sizes.map(([size]) => `${size}em`), ...(other ? [style] : [])];
}

/** A button asks before it opens its address, which is one of the web. */
function wayOut(button: Element): string[] {
  const names = button.getAttributeNames().sort().join(' ');
  const web = /^https?:\/\//i.test(button.getAttribute('title') ?? '');
  return names === 'class title' && button.className === 'link' && web ? [] : [button.outerHTML];
}

/** What no text may bring onto the page, wherever it is shown. */
export function intruders(page: ParentNode): string[] {
  const foreign =
    'script, iframe, frame, object, embed, img, image, picture, video, audio, source, track, link, base, form[action], ' +
    'meta, style, math, foreignObject, use, animate, set, template, marquee, portal, a[href], [src], [srcset], ' +
    '[background], [ping], [formaction], [popover], [contenteditable]';
  const found = [...page.querySelectorAll(foreign)].map((element) => element.outerHTML);
  for (const element of page.querySelectorAll('*')) {
    found.push(...element.getAttributeNames().filter((name) => name.startsWith('on')));
  }
  return found;
}
