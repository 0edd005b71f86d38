import { describe, expect, test } from 'vitest';
import { Blocks } from './blocks';
import { sanitize } from './sanitize';
import payloads from '../testing/hostile.json';
import { dangers } from '../testing/dangers';

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
      const step = Math.max(9, Math.ceil(payload.length / 4));
      for (let end = 5; end < payload.length; end += step) {
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

test('links are buttons that know their address, images and other addresses are words', () => {
  const [link] = new Blocks().update('[the page](https://example.org/a?b=1&c=2)');
  expect(link?.html).toBe(
    '<p><button class="link" title="https://example.org/a?b=1&amp;c=2">the page</button></p>',
  );
  const [other] = new Blocks().update('[the file](file:///etc/passwd)');
  expect(other?.html).toContain('file:///etc/passwd');
  expect(other?.html).not.toContain('button');
  const [image] = new Blocks().update('![a cat](https://example.org/cat.png)');
  expect(image?.html).toContain('a cat');
  expect(image?.html).toContain('https://example.org/cat.png');
  const [plain] = new Blocks().update('https://example.org');
  expect(plain?.html).toBe(
    '<p><button class="link" title="https://example.org">https://example.org</button></p>',
  );
});
