/** Builds the Node bundle: Node 20 runs neither TypeScript nor `?raw` WGSL by itself. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vite';
import { commitHash } from './commit.mjs';
import { root } from './project.mjs';

const entries = {
  distill: 'src/cli/main.ts',
  'tokenizer-trial': 'src/cli/tokenizer-trial.worker.ts',
  bench: 'bench/main.ts',
  study: 'tools/study/main.ts',
  'site-models': 'tools/site-models/bundle.ts',
  interop: 'tests/interop/engine.ts',
};

export default defineConfig({
  root,
  publicDir: false,
  define: { __COMMIT__: JSON.stringify(commitHash(root)) },
  build: {
    ssr: true,
    outDir: 'build-node',
    target: 'node20',
    sourcemap: true,
    minify: false,
    rollupOptions: {
      input: Object.fromEntries(
        Object.entries(entries).filter(([, file]) => existsSync(join(root, file))),
      ),
      output: { entryFileNames: '[name].js', chunkFileNames: 'chunks/[name]-[hash].js' },
    },
  },
});
