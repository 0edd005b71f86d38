import type { AttachedFile } from '../bindings/AttachedFile';
import { text } from '../text';

/** Larger files do not fit into any context. */
export const LARGEST = 4 * 1024 * 1024;
export const MOST_FILES = 20;

/** The text of a file. Rejects with what to do if it has none. */
export async function readFile(file: File): Promise<AttachedFile> {
  if (file.size > LARGEST) throw text.chat.files.tooLarge(file.name, file.size, LARGEST);
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes.includes(0)) throw text.chat.files.noText(file.name);
  try {
    const words = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return { name: file.name, text: words.replace(/\r\n?/g, '\n') };
  } catch {
    throw text.chat.files.noText(file.name);
  }
}
