import { sveltekit } from '@sveltejs/kit/vite';
import { defineConfig } from 'vite';
import { commitHash } from './tools/commit.mjs';

export default defineConfig({
  plugins: [sveltekit()],
  define: { __COMMIT__: JSON.stringify(commitHash()) },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    chunkSizeWarningLimit: 2000,
    // How long each plugin took is no warning to a person who only wants to start the app.
    rolldownOptions: { checks: { pluginTimings: false } },
  },
});
