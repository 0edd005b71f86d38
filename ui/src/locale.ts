// Under LANG=C or without LANG, WebKitGTK reports the language "C"; every Intl
// constructor then throws, also those inside libraries. Must be imported first.
function usable(tag: string | undefined): tag is string {
  if (!tag) return false;
  try {
    new Intl.NumberFormat(tag);
    return true;
  } catch {
    return false;
  }
}

const fallback = 'en-US';

if (!usable(navigator.language)) {
  Object.defineProperty(navigator, 'language', { configurable: true, get: () => fallback });
  Object.defineProperty(navigator, 'languages', { configurable: true, get: () => [fallback] });
}

// The texts are English, so the numbers in them are too, until there is a translation.
export const locale = navigator.language.startsWith('en') ? navigator.language : fallback;
