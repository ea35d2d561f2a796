import adapter from '@sveltejs/adapter-static';
import { vitePreprocess } from '@sveltejs/vite-plugin-svelte';
import { directives } from './tools/csp.mjs';
import { commitHash } from './tools/commit.mjs';

/** @type {import('@sveltejs/kit').Config} */
const config = {
  preprocess: vitePreprocess(),
  compilerOptions: {
    runes: ({ filename }) => (filename.includes('node_modules') ? undefined : true),
  },
  kit: {
    adapter: adapter({ pages: 'build', assets: 'build', strict: true }),
    files: { assets: 'public' },
    // Pages must work under any sub-path and from a plain file server.
    paths: { relative: true },
    prerender: {
      entries: ['*'],
      // Links such as /p/#… carry data, not the id of an element.
      handleMissingId: 'ignore',
    },
    csp: {
      mode: 'hash',
      directives: Object.fromEntries(
        Object.entries(directives).map(([name, values]) => [name, [...values]]),
      ),
    },
    version: { name: commitHash() },
  },
};

export default config;
