import { getDocument } from 'unpdf/pdfjs';

/** Longer documents do not fit into any context. */
const MOST_PAGES = 400;

/** The text of a PDF, page after page; empty if it holds pictures only. Rejects if it is damaged or locked. */
export async function pdfText(bytes: Uint8Array): Promise<string> {
  const task = getDocument({
    data: bytes,
    // Nothing in a document is run, and nothing is fetched for it.
    isEvalSupported: false,
    disableFontFace: true,
    useSystemFonts: false,
    enableXfa: false,
    verbosity: 0,
  });
  try {
    const document = await task.promise;
    const pages: string[] = [];
    for (let number = 1; number <= Math.min(document.numPages, MOST_PAGES); number += 1) {
      const page = await document.getPage(number);
      const { items } = await page.getTextContent();
      const words = items.map((item) => ('str' in item ? item.str + (item.hasEOL ? '\n' : '') : ''));
      pages.push(words.join('').trim());
      page.cleanup();
    }
    return pages.filter((page) => page !== '').join('\n\n');
  } finally {
    await task.destroy();
  }
}
