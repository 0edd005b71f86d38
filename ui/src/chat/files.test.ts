import { expect, test } from 'vitest';
import { LARGEST, readFile } from './files';

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
