/**
 * The static server of `npm start` and of the end-to-end tests: loopback only, right types, byte
 * ranges, the content security policy as a header (workers obey nothing else), optional sub-path.
 *
 *   node tools/serve.mjs [--root build] [--port 4173] [--base /sub/]
 */
import { createReadStream } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, resolve, sep } from 'node:path';
import { pipeline } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { policy } from './csp.mjs';

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

/**
 * @param {{ root: string, base?: string }} options `base` is the path the site is mounted on, with
 *   slashes at both ends.
 */
export function createStaticServer({ root, base = '/' }) {
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
    const page = index && (await stat(index));
    return page?.isFile() ? { file: index, size: page.size } : undefined;
  }

  return createServer(async (request, response) => {
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
  });
}

/**
 * Starts the server on loopback; port 0 takes a free one.
 * @param {{ root: string, base?: string, port: number }} options
 * @returns {Promise<{ url: string, close: () => Promise<void> }>}
 */
export async function serve({ root, base = '/', port }) {
  const server = createStaticServer({ root, base });
  await new Promise((done, fail) => {
    server.once('error', fail);
    server.listen(port, '127.0.0.1', () => done(undefined));
  });
  const address = server.address();
  const actual = typeof address === 'object' && address ? address.port : port;
  return {
    url: `http://127.0.0.1:${actual}${base}`,
    close: () =>
      new Promise((done) => {
        server.close(() => done(undefined));
        server.closeAllConnections();
      }),
  };
}

/**
 * Port from text such as $PORT.
 * @param {string} value
 */
export function parsePort(value) {
  const port = Number(value);
  if (!/^\d+$/.test(value) || port > 65535) {
    throw new Error(`PORT must be a number from 0 to 65535, not "${value}".`);
  }
  return port;
}

/**
 * One sentence for a port that could not be opened.
 * @param {unknown} error
 * @param {number} port
 */
function explain(error, port) {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') {
    return `Port ${port} is already in use. Close the program that uses it or choose another port, for example PORT=${port + 1} npm start.`;
  }
  if (code === 'EACCES') {
    return `This user may not open port ${port}. Choose a port above 1023, for example PORT=4173 npm start.`;
  }
  return `Could not serve on port ${port}: ${error instanceof Error ? error.message : error}`;
}

/**
 * Serves until the process is ended, and says where; a port in use is one sentence and exit 1.
 * @param {{ root: string, base?: string, port: number }} options
 */
export async function serveForever(options) {
  const { url } = await serve(options).catch((error) => {
    console.error(explain(error, options.port));
    process.exit(1);
  });
  console.log(`Retort is ready at ${url}`);
}

/**
 * Ends the process with a sentence when the port is taken, before anything slow is done.
 * @param {number} port
 */
export async function requireFreePort(port) {
  const probe = await serve({ root: '.', port }).catch((error) => {
    console.error(explain(error, port));
    process.exit(1);
  });
  await probe.close();
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    const { values } = parseArgs({
      options: {
        root: { type: 'string', default: 'build' },
        port: { type: 'string', default: process.env.PORT ?? '4173' },
        base: { type: 'string', default: '/' },
      },
    });
    await serveForever({ root: values.root, base: values.base, port: parsePort(values.port) });
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(2);
  }
}
