// Reads one PDF beside the page, which goes on meanwhile; see readPdf.
import { pdfText } from './pdf';

export type Outcome = { words: string } | { problem: string };

addEventListener('message', (event: MessageEvent<Uint8Array>) => {
  const tell = (outcome: Outcome) => postMessage(outcome);
  pdfText(event.data).then(
    (words) => tell({ words }),
    (why: unknown) => tell({ problem: String(why) }),
  );
});
