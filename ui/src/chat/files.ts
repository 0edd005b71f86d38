import type { AttachedFile } from '../bindings/AttachedFile';
import { text } from '../text';
import { readPdf } from './readPdf';

/** Larger files do not fit into any context. */
export const LARGEST = 4 * 1024 * 1024;
/** Most of a PDF is no text. */
export const LARGEST_PDF = 32 * 1024 * 1024;
export const MOST_FILES = 20;

/** How the text of a PDF is read. */
type PdfReader = (bytes: Uint8Array<ArrayBuffer>) => Promise<string>;

/** The text of a file. Rejects with what to do if it has none. */
export async function readFile(file: File, pdf: PdfReader = readPdf): Promise<AttachedFile> {
  const { name, size } = file;
  const start = new TextDecoder('latin1').decode(await file.slice(0, 5).arrayBuffer());
  const isPdf = start === '%PDF-';
  const most = isPdf ? LARGEST_PDF : LARGEST;
  if (size > most) throw text.chat.files.tooLarge(name, size, most);
  const bytes = new Uint8Array(await file.arrayBuffer());
  return { name, text: isPdf ? await fromPdf(name, bytes, pdf) : decode(name, bytes) };
}

function decode(name: string, bytes: Uint8Array): string {
  if (bytes.includes(0)) throw text.chat.files.noText(name);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r\n?/g, '\n');
  } catch {
    throw text.chat.files.noText(name);
  }
}

async function fromPdf(name: string, bytes: Uint8Array<ArrayBuffer>, read: PdfReader): Promise<string> {
  let words: string;
  try {
    words = await read(bytes);
  } catch {
    throw text.chat.files.badPdf(name);
  }
  if (words === '') throw text.chat.files.picturesOnly(name);
  if (words.length > LARGEST) throw text.chat.files.tooLarge(name, words.length, LARGEST);
  return words;
}
