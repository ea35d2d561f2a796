/**
 * A small hub for tests: the addresses, headers and redirects of huggingface.co that loading models
 * relies on, from files under tests/fixtures, and the ways in which downloads go wrong.
 *
 * Two servers on loopback: the hub, and on another port (another origin) its download host. Like the
 * real ones, the hub lets pages see its own headers, redirects large files, and the download host
 * answers no preflight. Tests steer it over HTTP:
 *   POST /__hub/repo    a Repo      adds or replaces a repository
 *   POST /__hub/fault   a Fault     what goes wrong with the next requests that it matches
 *   POST /__hub/break { repo }      ends the connections of stalled answers
 *   GET  /__hub/log?repo=a/b        the requests so far
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseRange } from '../tools/serve.mjs';

/**
 * @typedef {{ fixture: string } | { text: string } | { random: number }} Content a file under
 *   tests/fixtures, a text, or so many bytes that look random
 * @typedef {object} Repo
 * @property {string} repo `organisation/name`
 * @property {string} commit 40 hex digits
 * @property {Record<string, Content>} files by path
 * @property {unknown} [card] the metadata of its model card
 * @property {string} [token] who lacks it is refused, as with gated models
 * @property {boolean} [hasApi] false: only files can be had, as from simple mirrors
 * @property {boolean} [showsHeaders] true: pages may see ETag and Content-Range of the download host
 *
 * @typedef {object} Fault
 * @property {string} repo
 * @property {string} [path] of a file; absent: the API
 * @property {number} times
 * @property {'status' | 'short' | 'stall' | 'no-range' | 'refuse-range' | 'alter' | 'etag' | 'oid'} kind
 *   `stall` sends no more after `after` bytes, `short` ends properly there; `alter` changes a byte in the middle, `etag` the ETag, `oid` the listed sha256
 *   `no-range` sends the whole file, `refuse-range` an answer that pages may not read
 * @property {number} [after]
 * @property {number} [alterAt] with any kind: the byte that is changed
 * @property {number} [status]
 * @property {Record<string, string>} [headers]
 * @property {string} [value]
 *
 * @typedef {object} LogEntry
 * @property {'hub' | 'cdn'} server
 * @property {string} method
 * @property {string} path
 * @property {string | null} range
 * @property {boolean} authorised
 * @property {number} status
 *
 * @typedef {import('node:http').IncomingMessage} Request
 * @typedef {import('node:http').ServerResponse} Response
 */

const FIXTURES = fileURLToPath(new URL('./fixtures/', import.meta.url));
const EXPOSED =
  'X-Repo-Commit,X-Error-Code,ETag,Link,Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag';

/** @param {Content} content */
async function bytesOf(content) {
  if ('fixture' in content) return readFile(join(FIXTURES, content.fixture));
  if ('text' in content) return Buffer.from(content.text);
  const bytes = Buffer.alloc(content.random);
  for (let i = 0, x = 1; i < bytes.length; i++) {
    x = (Math.imul(x, 1103515245) + 12345) >>> 0;
    bytes[i] = x >>> 16;
  }
  return bytes;
}

/** @param {Buffer} bytes */
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** @param {Buffer} bytes */
const gitName = (bytes) =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

/** @param {string} path */
const isLarge = (path) => /\.onnx|\.safetensors$/.test(path);

class Hub {
  /** @type {Map<string, Repo>} */
  repos = new Map();
  /** @type {Fault[]} */
  faults = [];
  /** @type {(LogEntry & { repo: string })[]} */
  log = [];
  /** Answers that wait for ever. @type {Map<string, Response[]>} */
  stalled = new Map();
  cdn = '';

  /** @param {string} repo @param {string | undefined} path @returns {Fault | undefined} */
  takeFault(repo, path) {
    const fault = this.faults.find((f) => f.repo === repo && f.path === path && f.times > 0);
    if (fault) fault.times--;
    return fault;
  }

  /** @param {Request} request @param {Response} response */
  async answerHub(request, response) {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://hub');
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Access-Control-Expose-Headers', EXPOSED);
    if (request.method === 'OPTIONS') {
      response.setHeader('Access-Control-Allow-Headers', 'authorization,range,content-type');
      response.setHeader('Access-Control-Allow-Methods', 'GET,HEAD,POST');
      return response.writeHead(204).end();
    }
    if (pathname.startsWith('/__hub/'))
      return this.control(request, response, pathname, searchParams);
    const api = /^\/api\/models\/([^/]+\/[^/]+)\/(revision|tree)\/(.+)$/.exec(pathname);
    if (api) return this.answerApi(request, response, api[1] ?? '', api[2] ?? '', api[3] ?? '');
    const file = /^\/([^/]+\/[^/]+)\/(resolve|raw)\/([^/]+)\/(.+)$/.exec(pathname);
    if (file) {
      const [, repo = '', view = '', revision = '', path = ''] = file;
      return this.answerFile(request, response, repo, view, decodeURIComponent(revision), path);
    }
    return response.writeHead(404).end('Not found');
  }

  /** @param {Request} request @param {Response} response @param {string} pathname @param {URLSearchParams} query */
  async control(request, response, pathname, query) {
    if (pathname === '/__hub/log') {
      const repo = query.get('repo');
      response.writeHead(200, { 'Content-Type': 'application/json' });
      return response.end(JSON.stringify(this.log.filter((entry) => entry.repo === repo)));
    }
    let text = '';
    for await (const piece of request) text += piece;
    const body = JSON.parse(text);
    if (pathname === '/__hub/repo') this.repos.set(body.repo, body);
    if (pathname === '/__hub/fault') this.faults.push(body);
    if (pathname === '/__hub/break') {
      for (const answer of this.stalled.get(body.repo) ?? []) answer.destroy();
    }
    return response.writeHead(204).end();
  }

  /**
   * @param {'hub' | 'cdn'} server @param {Request} request @param {string} repo @param {string} path
   * @param {number} status
   */
  note(server, request, repo, path, status) {
    this.log.push({
      server,
      repo,
      method: request.method ?? '',
      path,
      range: request.headers.range ?? null,
      authorised: request.headers.authorization !== undefined,
      status,
    });
  }

  /** Sends a refusal where the repository is unknown, closed to this request, or broken for now.
   * @param {Request} request @param {Response} response @param {string} name @param {string} path
   * @param {Fault | undefined} fault
   */
  refuse(request, response, name, path, fault) {
    const repo = this.repos.get(name);
    /** @param {number} status @param {Record<string, string>} headers */
    const send = (status, headers) => {
      this.note('hub', request, name, path, status);
      response.writeHead(status, headers).end('{}');
      return true;
    };
    if (fault?.kind === 'status') return send(fault.status ?? 500, fault.headers ?? {});
    if (!repo) return send(401, { 'X-Error-Code': 'RepoNotFound' });
    const given = request.headers.authorization;
    if (repo.token !== undefined && given !== `Bearer ${repo.token}`) {
      return send(given === undefined ? 401 : 403, { 'X-Error-Code': 'GatedRepo' });
    }
    return false;
  }

  /** @param {Request} request @param {Response} response @param {string} name @param {string} kind @param {string} rest */
  async answerApi(request, response, name, kind, rest) {
    const fault = this.takeFault(name, undefined);
    const path = `api/${kind}/${rest}`;
    const repo = this.repos.get(name);
    if (repo?.hasApi === false) {
      this.note('hub', request, name, path, 404);
      return response.writeHead(404).end('Not found');
    }
    if (this.refuse(request, response, name, path, fault) || !repo) return;
    const revision = decodeURIComponent(rest);
    if (revision !== 'main' && revision !== repo.commit) {
      this.note('hub', request, name, path, 404);
      return response.writeHead(404, { 'X-Error-Code': 'RevisionNotFound' }).end('{}');
    }
    this.note('hub', request, name, path, 200);
    response.writeHead(200, { 'Content-Type': 'application/json' });
    if (kind === 'revision') return this.answerAbout(response, repo);
    /** @type {object[]} */
    const entries = [{ type: 'directory', oid: '0'.repeat(40), size: 0, path: 'onnx' }];
    for (const [filePath, content] of Object.entries(repo.files)) {
      const bytes = await bytesOf(content);
      const entry = { type: 'file', oid: gitName(bytes), size: bytes.length, path: filePath };
      const oid = fault?.kind === 'oid' ? 'f'.repeat(64) : sha256(bytes);
      const lfs = { oid, size: bytes.length, pointerSize: 130 };
      entries.push(isLarge(filePath) ? { ...entry, lfs } : entry);
    }
    response.end(JSON.stringify(entries));
  }

  /** @param {Response} response @param {Repo} repo */
  answerAbout(response, { repo: id, commit: sha, card }) {
    response.end(JSON.stringify({ id, sha, ...(card === undefined ? {} : { cardData: card }) }));
  }

  /**
   * @param {Request} request @param {Response} response @param {string} name @param {string} view
   * @param {string} revision @param {string} path
   */
  async answerFile(request, response, name, view, revision, path) {
    const repo = this.repos.get(name);
    const large = isLarge(path);
    // What goes wrong with a large file goes wrong at the download host, but for its status.
    const pending = this.faults.find((f) => f.repo === name && f.path === path && f.times > 0);
    const fault = !large || pending?.kind === 'status' ? this.takeFault(name, path) : undefined;
    if (this.refuse(request, response, name, path, fault) || !repo) return;
    const content = repo.files[path];
    const isRevision = revision === 'main' || revision === repo.commit;
    if (!content || !isRevision) {
      this.note('hub', request, name, path, 404);
      const code = isRevision ? 'EntryNotFound' : 'RevisionNotFound';
      return response.writeHead(404, { 'X-Error-Code': code }).end('Not found');
    }
    response.setHeader('X-Repo-Commit', repo.commit);
    const bytes = await bytesOf(content);
    if (large && view === 'resolve') {
      this.note('hub', request, name, path, 302);
      response.writeHead(302, {
        Location: `${this.cdn}/lfs/${name}/${path}`,
        'X-Linked-Size': String(bytes.length),
        'X-Linked-ETag': `"${sha256(bytes)}"`,
      });
      return response.end();
    }
    const body = large
      ? Buffer.from(
          `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256(bytes)}\nsize ${bytes.length}\n`,
        )
      : bytes;
    const etag = `"${gitName(body)}"`;
    return this.send('hub', request, response, { name, path, body, etag, fault });
  }

  /** @param {Request} request @param {Response} response */
  async answerCdn(request, response) {
    const { pathname } = new URL(request.url ?? '/', 'http://cdn');
    const [, , organisation, model, ...rest] = pathname.split('/');
    const name = `${organisation}/${model}`;
    const path = rest.join('/');
    const repo = this.repos.get(name);
    const content = repo?.files[path];
    if (request.method === 'OPTIONS' || !repo || !content) {
      this.note('cdn', request, name, path, 403);
      return response.writeHead(403).end();
    }
    response.setHeader('Access-Control-Allow-Origin', '*');
    if (repo.showsHeaders) {
      response.setHeader('Access-Control-Expose-Headers', 'ETag, Content-Range');
    }
    const body = await bytesOf(content);
    const fault = this.takeFault(name, path);
    if (fault?.kind === 'refuse-range' && request.headers.range) {
      response.removeHeader('Access-Control-Allow-Origin');
    }
    return this.send('cdn', request, response, {
      name,
      path,
      body,
      etag: `"${sha256(body)}"`,
      fault,
    });
  }

  /**
   * @param {'hub' | 'cdn'} server @param {Request} request @param {Response} response
   * @param {{ name: string, path: string, body: Buffer, etag: string, fault: Fault | undefined }} file
   */
  send(server, request, response, { name, path, body, etag, fault }) {
    const asked = fault?.kind === 'no-range' ? undefined : request.headers.range;
    const range = parseRange(asked, body.length);
    response.setHeader('Accept-Ranges', 'bytes');
    response.setHeader('ETag', fault?.kind === 'etag' ? (fault.value ?? '"other"') : etag);
    if (range === 'unsatisfiable') {
      this.note(server, request, name, path, 416);
      return response.writeHead(416, { 'Content-Range': `bytes */${body.length}` }).end();
    }
    const { start, end } = range ?? { start: 0, end: body.length - 1 };
    const bytes = Buffer.from(body.subarray(start, end + 1));
    if (range) response.setHeader('Content-Range', `bytes ${start}-${end}/${body.length}`);
    const altered = fault?.alterAt ?? (fault?.kind === 'alter' ? bytes.length >> 1 : undefined);
    if (altered !== undefined) bytes[altered] = (bytes[altered] ?? 0) ^ 1;
    const status = range ? 206 : 200;
    this.note(server, request, name, path, status);
    // A length would let the browser see a short answer as a broken one.
    if (fault?.kind !== 'short') response.setHeader('Content-Length', bytes.length);
    response.writeHead(status, { 'Content-Type': 'application/octet-stream' });
    if (request.method === 'HEAD') return response.end();
    const part = bytes.subarray(0, fault?.after ?? bytes.length);
    if (fault?.kind === 'stall') {
      this.stalled.set(name, [...(this.stalled.get(name) ?? []), response]);
      return response.write(part);
    }
    if (fault?.kind === 'short') return response.end(part);
    return response.end(bytes);
  }
}

/**
 * Starts hub and download host on free ports of loopback.
 * @returns {Promise<{ url: string, cdnUrl: string, close: () => Promise<void> }>}
 */
export async function startHub() {
  const hub = new Hub();
  /** @param {(request: Request, response: Response) => Promise<unknown>} answer */
  const listen = async (answer) => {
    const server = createServer((request, response) => {
      answer(request, response).catch((error) => {
        if (!response.headersSent) response.writeHead(500);
        response.end(String(error));
      });
    });
    await new Promise((done) => server.listen(0, '127.0.0.1', () => done(undefined)));
    const address = server.address();
    if (typeof address !== 'object' || address === null) throw new Error('The hub has no port.');
    return { server, url: `http://127.0.0.1:${address.port}` };
  };
  const main = await listen((request, response) => hub.answerHub(request, response));
  const cdn = await listen((request, response) => hub.answerCdn(request, response));
  hub.cdn = cdn.url;
  return {
    url: main.url,
    cdnUrl: cdn.url,
    close: async () => {
      for (const { server } of [main, cdn]) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}
