/**
 * The one content security policy of the project. SvelteKit writes it into every page's <meta>
 * (with hashes for its inline start script); servers send it as a header, because a worker obeys
 * the headers of its own script and not the <meta> of the page that started it. The hub and its
 * download hosts are here because a person may choose a model of the hub; src/workers/files/fetch-guard.ts
 * keeps every other code in the workers from them.
 */
export const directives = /** @type {const} */ ({
  'default-src': ['self'],
  'script-src': ['self', 'wasm-unsafe-eval'],
  'worker-src': ['self'],
  'connect-src': ['self', 'https://huggingface.co', 'https://*.huggingface.co', 'https://*.hf.co'],
  'img-src': ['self', 'data:', 'blob:'],
  'style-src': ['self', 'unsafe-inline'],
  'object-src': ['none'],
  'base-uri': ['self'],
  'form-action': ['self'],
});

const KEYWORDS = new Set(['self', 'none', 'unsafe-inline', 'wasm-unsafe-eval']);

/** The policy as one header value, as it governs scripts, workers and other files. */
export const policy = Object.entries(directives)
  .map(([name, values]) =>
    [name, ...values.map((value) => (KEYWORDS.has(value) ? `'${value}'` : value))].join(' '),
  )
  .join('; ');
