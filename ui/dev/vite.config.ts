// The window in a browser over a double of the engine: `npm run dev:double`.
// Never part of `npm run build`.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const here = fileURLToPath(new URL('.', import.meta.url));

export default defineConfig({
  root: here,
  plugins: [svelte({ configFile: `${here}/../svelte.config.js` })],
  server: { port: 1421, strictPort: true, fs: { allow: [`${here}/..`] } },
});
