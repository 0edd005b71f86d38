import { expect, test } from 'vitest';
import { LARGEST, readFile } from './files';
import { pdfText } from './pdf';

const file = (name: string, ...parts: BlobPart[]) => new File(parts, name);

test('text and code are read, whatever their ending', async () => {
  expect(await readFile(file('a.rs', 'fn main() {}\r\n'))).toEqual({ name: 'a.rs', text: 'fn main() {}\n' });
  expect((await readFile(file('Makefile', 'größe: 名'))).text).toBe('größe: 名');
});

test('what is no text is told with its name', async () => {
  await expect(readFile(file('a.png', new Uint8Array([0x89, 0x50, 0, 1])))).rejects.toContain('a.png');
  await expect(readFile(file('b.txt', new Uint8Array([0xc3, 0x28])))).rejects.toContain('UTF-8');
});

test('what is too large is not even read', async () => {
  const large = file('large.txt', 'x');
  Object.defineProperty(large, 'size', { value: LARGEST + 1 });
  await expect(readFile(large)).rejects.toContain('4.0 MiB');
});

/** A PDF of one page for each text, as small as one can be. */
function pdf(...pages: string[]): string {
  const objects = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    `<< /Type /Pages /Count ${pages.length} /Kids [${pages.map((_, index) => `${4 + index * 2} 0 R`).join(' ')}] >>`,
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
    ...pages.flatMap((words, index) => {
      const drawn = words
        .split('\n')
        .map((line, row) => `BT /F1 12 Tf 72 ${720 - row * 20} Td (${line}) Tj ET`)
        .join('\n');
      return [
        `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents ${5 + index * 2} 0 R /Resources << /Font << /F1 3 0 R >> >> >>`,
        `<< /Length ${drawn.length} >>\nstream\n${drawn}\nendstream`,
      ];
    }),
  ];
  let whole = '%PDF-1.4\n';
  const offsets = objects.map((object, index) => {
    const at = whole.length;
    whole += `${index + 1} 0 obj\n${object}\nendobj\n`;
    return at;
  });
  const table = offsets.map((offset) => `${String(offset).padStart(10, '0')} 00000 n \n`).join('');
  return (
    `${whole}xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${table}` +
    `trailer << /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${whole.length}\n%%EOF\n`
  );
}

test('the text of a PDF is read, page after page', async () => {
  const { text } = await readFile(file('a.pdf', pdf('The first page\nin two lines', 'The second')), pdfText);
  expect(text).toBe('The first page\nin two lines\n\nThe second');
});

test('a PDF without text, damaged or hostile, is told with its name', async () => {
  await expect(readFile(file('scan.pdf', pdf('')), pdfText)).rejects.toContain('scan.pdf holds pictures');
  for (const [name, words] of [
    ['empty', '%PDF-'],
    ['cut', pdf('x').slice(0, 300)],
    ['noise', `%PDF-1.7\n${'\u0001\u0002<<>>[('.repeat(500)}`],
    ['loop', pdf('x').replace('/Kids [4 0 R]', '/Kids [2 0 R]')],
  ] as const) {
    const outcome = await readFile(file(`${name}.pdf`, words), pdfText).then(
      () => 'read',
      (why: unknown) => String(why),
    );
    expect(outcome === 'read' || outcome.includes(`${name}.pdf`), `${name}: ${outcome}`).toBe(true);
  }
});
