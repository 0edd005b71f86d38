import type { Theme } from './bindings/Theme';

/** Is the page dark now? For what is drawn on a canvas. */
export const darkTheme = $state({ on: false });

/** Sets the colours; follows the system while `theme` is `system`. Returns what stops the following. */
export function applyTheme(theme: Theme): () => void {
  const system = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    darkTheme.on = theme === 'dark' || (theme === 'system' && system.matches);
    document.documentElement.dataset['theme'] = darkTheme.on ? 'dark' : 'light';
  };
  apply();
  if (theme !== 'system') return () => undefined;
  system.addEventListener('change', apply);
  return () => system.removeEventListener('change', apply);
}
