import type { Outcome } from './pdf.worker';

/** A document that takes longer was made to. */
const LONGEST_MS = 60_000;

/** The text of a PDF, read by a worker of its own. Takes the bytes away; rejects like `pdfText`. */
export function readPdf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const worker = new Worker(new URL('./pdf.worker.ts', import.meta.url), { type: 'module' });
  const read = new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('it takes too long')), LONGEST_MS);
    // The library in there greets whoever began its worker, too.
    worker.onmessage = ({ data }: MessageEvent<Outcome | object>) => {
      if ('words' in data) resolve(data.words);
      else if ('problem' in data) reject(new Error(data.problem));
      else return;
      clearTimeout(timer);
    };
    worker.onerror = (event) => {
      clearTimeout(timer);
      reject(new Error(event.message));
    };
    worker.postMessage(bytes, [bytes.buffer]);
  });
  return read.finally(() => worker.terminate());
}
