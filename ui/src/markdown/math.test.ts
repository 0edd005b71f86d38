import { expect, test } from 'vitest';
import { Blocks } from './blocks';
import { sanitize } from './sanitize';

const html = (source: string) =>
  new Blocks()
    .update(source)
    .map((block) => block.html)
    .join('');
const page = (source: string) => new DOMParser().parseFromString(html(source), 'text/html').body;
const formulas = (source: string) => page(source).querySelectorAll('.katex').length;

test('formulas are drawn in all four ways of writing them', () => {
  expect(formulas('Euler: $e^{i\\pi} = -1$ and \\(a^2\\).')).toBe(2);
  expect(formulas('$$\n\\sum_{i=1}^n i\n= \\frac{n(n+1)}{2}\n$$')).toBe(1);
  expect(formulas('\\[ x = \\sqrt{2} \\]')).toBe(1);
  expect(formulas('Inside $$x$$ a line, and - in a list:\n\n- $y$')).toBe(2);
  expect(page('$\\sqrt{x}$').querySelector('svg path')).not.toBeNull();
  expect(page('$a_1$').querySelector('.hidden-text')?.textContent).toBe('a_1');
});

test('prices, code and unfinished marks are no formulas', () => {
  for (const source of [
    'It costs $5 and $6.',
    'From $5 to $10 or 20$.',
    '`$x$` is code',
    '```\n$x$\n```',
    'a $ b $ c',
    '\\$x\\$',
    '$x',
    '$$',
    '$$ is the process',
    'cp $HOME/$USER',
    '($5) or ($6)',
  ]) {
    expect(formulas(source), source).toBe(0);
  }
  expect(page('It costs $5 and $6.').textContent).toBe('It costs $5 and $6.');
});

test('a formula that streams in is one block, and the same in the end', () => {
  const whole = 'Before.\n\n$$\na\n\n- b\n$$\n\nAfter $x$.';
  const blocks = new Blocks();
  let shown = '';
  for (let end = 1; end <= whole.length; end += 1) {
    shown = blocks
      .update(whole.slice(0, end))
      .map((block) => block.html)
      .join('');
  }
  expect(shown).toBe(html(whole));
  expect(shown).not.toContain('<li>');
});

test('what is no TeX is shown as it was written', () => {
  expect(page('$\\frac{1$').textContent).toContain('\\frac{1');
  expect(page('$\\frac{1$').querySelector('code')).not.toBeNull();
  // What is known of it is drawn.
  expect(page('$\\notacommand^2$').querySelector('.katex')?.textContent).toContain('\\notacommand');
});

test('styles and drawings live in formulas only', () => {
  expect(sanitize('<span style="color:red">x</span>')).toBe('<span>x</span>');
  expect(sanitize('<svg><path d="M0 0"></path></svg>x')).toBe('x');
  expect(
    sanitize(
      '<span class="katex"><span style="position:fixed;height:1em;background:url(x);top:0">x</span></span>',
    ),
  ).toBe('<span class="katex"><span style="height:1em;top:0">x</span></span>');
});

test.each([['$'], ['$a '], ['\\('], ['\\['], ['$$'], ['$$\n'], ['*a $']])(
  '%j without end is no trap',
  (mark) => {
    const body = page(mark.repeat(30_000));
    expect(body.textContent?.length).toBeGreaterThan(0);
  },
);
