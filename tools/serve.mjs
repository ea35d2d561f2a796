/**
 * The static server of `npm start` and of the end-to-end tests: right types, byte ranges, the content
 * security policy as a header (workers obey nothing else), optional sub-path. It answers this machine
 * only, unless it is told to let others in.
 *
 *   node tools/serve.mjs [--root build] [--base /sub/] [--host NAME] [--https CERT KEY] [--port 4173]
 */
import { createReadStream } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { extname, join, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { policy } from './csp.mjs';
import {
  addressOf,
  bindAddress,
  hostsOf,
  LISTEN_HELP,
  ListenError,
  parseListen,
  remarks,
} from './listen.mjs';

/** @type {Record<string, string>} */
const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.jsonl': 'application/jsonl; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.onnx': 'application/octet-stream',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
  '.webp': 'image/webp',
  '.woff2': 'font/woff2',
};

/**
 * A page's inline start script is allowed by hashes that differ from page to page; its own <meta>
 * names them, so the header repeats that policy instead of contradicting it.
 * @param {string} html
 */
export function policyOfPage(html) {
  const meta = /<meta http-equiv="content-security-policy" content="([^"]*)"/i.exec(html);
  return meta ? meta[1].replaceAll('&#39;', "'") : policy;
}

/**
 * `bytes=a-b`, `bytes=a-` or `bytes=-n` of a file of `size` bytes, both ends included.
 * @param {string | undefined} header
 * @param {number} size
 * @returns {{ start: number, end: number } | 'unsatisfiable' | undefined}
 */
export function parseRange(header, size) {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  const start = match[1] === '' ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const end = match[1] === '' || match[2] === '' ? size - 1 : Math.min(Number(match[2]), size - 1);
  return start > end || start >= size ? 'unsatisfiable' : { start, end };
}

/**
 * The names in a path, each decoded by itself; undefined where one is hidden, empty or more than one.
 * So `%2F` and `//` never begin an address, which browsers would take for another host.
 * @param {string} path without a slash at its start
 * @returns {string[] | undefined}
 */
function namesOf(path) {
  const names = path.split('/').map(decodeURIComponent);
  // A folder's address ends in a slash.
  if (names.at(-1) === '') names.pop();
  return names.every((name) => /^[^./\\\0][^/\\\0]*$/.test(name)) ? names : undefined;
}

/**
 * Where a path leads when its links are followed; undefined where that is nothing, or not in the folder.
 * @param {string} folder
 * @param {string} path
 */
async function inside(folder, path) {
  try {
    const [home, file] = await Promise.all([realpath(folder), realpath(path)]);
    return file === home || file.startsWith(home + sep) ? file : undefined;
  } catch {
    return undefined;
  }
}

/** @typedef {import('./listen.mjs').Listen} Listen */

/**
 * @param {{ root: string, base?: string, tls?: Listen['tls'] }} options `base` is the path the site is
 *   mounted on, with slashes at both ends.
 */
export function createStaticServer({ root, base = '/', tls }) {
  const folder = resolve(root);

  /** @param {string} pathname as the request has it @returns {Promise<{ file: string, size: number } | { redirect: string } | undefined>} */
  async function find(pathname) {
    if (pathname === base.slice(0, -1)) return { redirect: base };
    if (!pathname.startsWith(base)) return undefined;
    const names = namesOf(pathname.slice(base.length));
    const file = names && (await inside(folder, join(folder, ...names)));
    if (!file) return undefined;
    const info = await stat(file);
    if (info.isFile()) return pathname.endsWith('/') ? undefined : { file, size: info.size };
    if (!info.isDirectory()) return undefined;
    if (!pathname.endsWith('/')) return { redirect: `${pathname}/` };
    const index = await inside(folder, join(file, 'index.html'));
    if (!index) return undefined;
    const page = await stat(index);
    return page.isFile() ? { file: index, size: page.size } : undefined;
  }

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async function answer(request, response) {
    try {
      const { pathname, search } = new URL(request.url ?? '/', 'http://localhost');
      response.setHeader('X-Content-Type-Options', 'nosniff');
      response.setHeader('Referrer-Policy', 'no-referrer');
      response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
      response.setHeader('Content-Security-Policy', policy);
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.writeHead(405, { Allow: 'GET, HEAD' }).end();
        return;
      }
      const found = await find(pathname);
      if (!found) {
        response.writeHead(404, { 'Content-Type': 'text/plain; charset=utf-8' });
        response.end('Not found. The start page is ' + base + '\n');
        return;
      }
      if ('redirect' in found) {
        response.writeHead(308, { Location: found.redirect + search }).end();
        return;
      }
      const { file, size } = found;
      const type = extname(file).toLowerCase();
      const isImmutable = pathname.startsWith(`${base}_app/immutable/`);
      response.setHeader('Content-Type', TYPES[type] ?? 'application/octet-stream');
      response.setHeader(
        'Cache-Control',
        isImmutable ? 'public, max-age=31536000, immutable' : 'no-cache',
      );
      if (type === '.html') {
        const html = await readFile(file);
        response.setHeader('Content-Security-Policy', policyOfPage(html.toString('utf8')));
        response.writeHead(200, { 'Content-Length': html.length });
        response.end(request.method === 'HEAD' ? undefined : html);
        return;
      }
      response.setHeader('Accept-Ranges', 'bytes');
      const range = parseRange(request.headers.range, size);
      if (range === 'unsatisfiable') {
        response.writeHead(416, { 'Content-Range': `bytes */${size}` }).end();
        return;
      }
      const { start, end } = range ?? { start: 0, end: size - 1 };
      if (range) response.setHeader('Content-Range', `bytes ${start}-${end}/${size}`);
      response.writeHead(range ? 206 : 200, { 'Content-Length': end - start + 1 });
      if (request.method === 'HEAD' || size === 0) {
        response.end();
        return;
      }
      // Closes the file, too, when whoever asked goes away.
      pipeline(createReadStream(file, { start, end }), response, () => {});
    } catch {
      if (!response.headersSent) response.writeHead(400);
      response.end();
    }
  }

  return tls ? createSecureServer(tls, answer) : createServer(answer);
}

/**
 * Starts the server, on loopback unless `host` says otherwise; port 0 takes a free one.
 * @param {Listen & { root: string, base?: string }} options
 * @returns {Promise<{ url: string, urls: string[], close: () => Promise<void> }>} `url` is the first
 *   of what people may type
 */
export async function serve({ root, base = '/', port, host, tls }) {
  const server = createStaticServer({ root, base, ...(tls ? { tls } : {}) });
  await new Promise((done, fail) => {
    server.once('error', fail);
    server.listen({ port, host: bindAddress(host) }, () => done(undefined));
  });
  const address = server.address();
  const actual = typeof address === 'object' && address ? address.port : port;
  const hosts = hostsOf({ ...(host === undefined ? {} : { host }), ...(tls ? { tls } : {}) });
  const urls = hosts.map((name) => addressOf(name, actual, tls !== undefined, base));
  return {
    url: urls[0] ?? '',
    urls,
    close: () =>
      new Promise((done) => {
        server.close(() => done(undefined));
        server.closeAllConnections();
      }),
  };
}

/**
 * One sentence for a port that could not be opened.
 * @param {unknown} error
 * @param {Listen} listen
 */
function explain(error, { port, host }) {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'EADDRINUSE':
      return `Port ${port} is already in use. Close the program that uses it or choose another port, for example npm start -- --port ${port + 1}.`;
    case 'EACCES':
      return `This user may not open port ${port}. Choose a port above 1023, for example npm start -- --port 4173.`;
    case 'EADDRNOTAVAIL':
      return `${host} is no address of this machine. Choose one that is, or --host 0.0.0.0 for all of them.`;
    default:
      return `Could not serve on port ${port}: ${error instanceof Error ? error.message : error}`;
  }
}

/**
 * Serves until the process is ended, and says where and how browsers will take it; a port in use is
 * one sentence and exit 1.
 * @param {Listen & { root: string, base?: string }} options
 */
export async function serveForever(options) {
  const { urls } = await serve(options).catch((error) => {
    console.error(explain(error, options));
    process.exit(1);
  });
  const [url, ...more] = urls;
  console.log(more.length === 0 ? `Retort is ready at ${url}` : 'Retort is ready at');
  if (more.length > 0) for (const one of urls) console.log(`  ${one}`);
  for (const line of remarks(options, hostsOf(options))) console.log(line);
}

/**
 * Ends the process with a sentence when the port is taken, before anything slow is done.
 * @param {Listen} listen
 */
export async function requireFreePort(listen) {
  const probe = await serve({ ...listen, root: '.' }).catch((error) => {
    console.error(explain(error, listen));
    process.exit(1);
  });
  await probe.close();
}

/** Ends the process: a command line that cannot be followed is exit 2. @param {unknown} error @returns {never} */
export function refuse(error) {
  if (!(error instanceof ListenError)) throw error;
  console.error(error.message);
  process.exit(2);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const own = /** @type {const} */ ({
    root: { type: 'string', default: 'build' },
    base: { type: 'string', default: '/' },
  });
  const { listen, help, values } = await parseListen(process.argv.slice(2), own).catch(refuse);
  const { root = 'build', base = '/' } = values;
  if (help) {
    console.log(`node tools/serve.mjs [--root build] [--base /sub/]\n\n${LISTEN_HELP}`);
  } else {
    await serveForever({ ...listen, root, base });
  }
}
