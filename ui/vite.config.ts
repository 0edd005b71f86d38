import { svelte } from '@sveltejs/vite-plugin-svelte';
import { svelteTesting } from '@testing-library/svelte/vite';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [svelte(), svelteTesting()],
  clearScreen: false,
  server: { port: 1420, strictPort: true },
  // WebKitGTK 2.40 of Debian 12 is the oldest engine the window runs in.
  build: { target: 'safari16', sourcemap: false, chunkSizeWarningLimit: 800 },
  test: {
    // happy-dom breaks DOMPurify without a word, jsdom does not.
    environment: 'jsdom',
    include: ['src/**/*.test.ts'],
    // Sanitising is slow in jsdom, and other builds may share the machine.
    testTimeout: 60_000,
    setupFiles: ['src/testing/setup.ts'],
  },
});
