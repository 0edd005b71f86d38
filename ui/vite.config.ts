import { svelte } from '@sveltejs/vite-plugin-svelte';
import { svelteTesting } from '@testing-library/svelte/vite';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** Of the fonts for formulas in three forms, every WebKit reads the smallest. */
const oneFormOfFonts: Plugin = {
  name: 'one-form-of-fonts',
  enforce: 'pre',
  transform(code, id) {
    if (!/katex.*\.css/.test(id)) return undefined;
    return code.replace(/,url\([^)]*\.(?:woff|ttf)\) format\("(?:woff|truetype)"\)/g, '');
  },
};

export default defineConfig({
  plugins: [oneFormOfFonts, svelte(), svelteTesting()],
  clearScreen: false,
  server: { port: 1420, strictPort: true },
  // WebKitGTK 2.40 of Debian 12 is the oldest engine the window runs in.
  // Nothing is inlined: the page may load its own files only, and no data addresses.
  build: { target: 'safari16', sourcemap: false, assetsInlineLimit: 0, chunkSizeWarningLimit: 1200 },
  worker: { format: 'es' },
  test: {
    // happy-dom breaks DOMPurify without a word, jsdom does not.
    environment: 'jsdom',
    include: ['src/**/*.test.ts'],
    // Sanitising is slow in jsdom, and other builds may share the machine.
    testTimeout: 60_000,
    setupFiles: ['src/testing/setup.ts'],
  },
});
