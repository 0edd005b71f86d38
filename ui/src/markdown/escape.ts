const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(source: string): string {
  return source.replace(/[&<>"']/g, (character) => entities[character] ?? '');
}

/** Is this an address of the web, whole as it stands? */
export function isWeb(href: string): boolean {
  if (!/^https?:\/\//i.test(href)) return false;
  try {
    return new URL(href).host !== '';
  } catch {
    return false;
  }
}
