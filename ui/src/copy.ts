/** Puts `words` on the clipboard; false if the system refuses. */
export async function copy(words: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(words);
    return true;
  } catch {
    return copyBySelection(words);
  }
}

// Older WebKit refuses the clipboard interface outside of https.
function copyBySelection(words: string): boolean {
  const focused = document.activeElement;
  const area = document.createElement('textarea');
  area.value = words;
  area.style.position = 'fixed';
  area.style.opacity = '0';
  document.body.append(area);
  area.select();
  try {
    return document.execCommand('copy');
  } catch {
    return false;
  } finally {
    area.remove();
    if (focused instanceof HTMLElement) focused.focus();
  }
}
