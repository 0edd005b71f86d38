import { expect, test } from 'vitest';
import { Blocks } from './blocks';

const long = `# Title

A paragraph with **bold** words
over two lines.

- one
- two
  - nested

1. first

   with a second paragraph
2. second

| a | b |
|---|--:|
| 1 | 2 |

> quoted
> twice

\`\`\`rust
fn main() {

    println!("{}", 1);
}
\`\`\`

Setext
---

[ref]: https://example.org "t"

See [ref]. The end.`;

const html = (text: string) => new Blocks().update(text).map((block) => block.html);

test('streaming gives the same as the whole text at once', () => {
  for (const size of [3, 7, 50]) {
    const blocks = new Blocks();
    let shown: string[] = [];
    for (let end = size; end < long.length + size; end += size) {
      shown = blocks.update(long.slice(0, end)).map((block) => block.html);
    }
    expect(shown).toEqual(html(long));
  }
});

test('finished blocks are rendered once and stay the same objects', () => {
  const blocks = new Blocks();
  const paragraphs = Array.from({ length: 40 }, (_, index) => `Paragraph number ${index}.\n\n`);
  let text = '';
  let first = blocks.update('');
  let updates = 0;
  for (const paragraph of paragraphs) {
    for (const part of paragraph.match(/.{1,6}/gs) ?? []) {
      text += part;
      const shown = blocks.update(text);
      if (first.length < 2) first = shown;
      else expect(shown[0]).toBe(first[0]);
      updates += 1;
    }
  }
  expect(blocks.update(text)).toHaveLength(40);
  // One for each update, and one more where a block was finished by the next.
  expect(blocks.rendered).toBeLessThanOrEqual(updates + paragraphs.length + 1);
});

test('keys are the places of the blocks', () => {
  expect(new Blocks().update(long).map((block) => block.key)).toEqual(html(long).map((_, index) => index));
});

test('another text starts anew', () => {
  const blocks = new Blocks();
  blocks.update(long);
  expect(blocks.update('Something else.').map((block) => block.html)).toEqual(html('Something else.'));
});

test('code keeps its text and language, also before its end has come', () => {
  const [block] = new Blocks().update('```Rust,ignore\nlet a = "<b>";\n');
  expect(block?.code).toEqual({ text: 'let a = "<b>";', language: 'rust' });
  expect(block?.html).toContain('hljs-keyword');
  expect(block?.html).toContain('&lt;b&gt;');
  const [unknown] = new Blocks().update('```nonsense\n<i>\n```');
  expect(unknown?.html).toBe('&lt;i&gt;');
});

test('line ends of Windows do not confuse the cache', () => {
  const windows = long.replaceAll('\n', '\r\n');
  const blocks = new Blocks();
  let shown: string[] = [];
  for (let end = 4; end <= windows.length + 4; end += 4) {
    shown = blocks.update(windows.slice(0, end)).map((block) => block.html);
  }
  expect(shown).toEqual(html(long));
});

test.each([
  ['quotes', '>'.repeat(20_000)],
  ['lists', `${'- '.repeat(20_000)}a`],
  ['numbered lists', '1. '.repeat(10_000)],
  ['brackets', '['.repeat(20_000)],
  ['images', '!['.repeat(20_000)],
  ['stars', `${'*'.repeat(20_000)}a`],
  ['underscores', '_a'.repeat(20_000)],
  ['emphasis', '*a b* _c '.repeat(5000)],
  ['mail addresses', 'a@b.'.repeat(10_000)],
  ['backticks', '`a``'.repeat(10_000)],
  ['tags', '<a '.repeat(20_000)],
  ['table cells', `${'|a'.repeat(5000)}|\n${'|-'.repeat(5000)}|`],
  ['one long word', 'a'.repeat(200_000)],
])('%s without end are shown all the same', (_name, source) => {
  const shown = new Blocks().update(source);
  const page = new DOMParser().parseFromString(shown.map((block) => block.html).join(''), 'text/html');
  expect(page.body.textContent?.length).toBeGreaterThan(0);
});

test('runs just below the limit of depth are no trap either', () => {
  for (const mark of ['*', '_', '>', '- ', '1. ', '[', '*_', '-+>']) {
    const source = `${mark.repeat(39 / mark.trim().length)}a`;
    expect(html(source).join('')).toContain('a');
  }
});

test('long words lose nothing', () => {
  const word = 'ab<i>_*'.repeat(1000);
  const page = new DOMParser().parseFromString(html(`x ${word} y`).join(''), 'text/html');
  expect(page.body.textContent).toBe(`x ${word} y`);
});

test('rules are no attack', () => {
  expect(html('-'.repeat(80))).toEqual(['<hr>']);
});
