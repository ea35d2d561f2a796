// The transfer itself, into memory, in Node: redirects and ranges are real, only pauses are not kept.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startHub } from '../../../tests/hub-server.mjs';
import type { Fault } from '../../../tests/hub-server.mjs';
import { BROWSER } from './environment';
import { fileUrl, listRepository, probeFile, type RemoteFile } from './hub';
import type { HubContext } from './request';
import { MemorySink } from './sink';
import { transfer } from './transfer';

const FIXTURE = 'families/llama-optimum/model.onnx';
const WEIGHTS = 'onnx/model_q4.onnx';
const COMMIT = 'b'.repeat(40);
const bytes = new Uint8Array(
  readFileSync(new URL(`../../../tests/fixtures/${FIXTURE}`, import.meta.url)),
);
const sha256 = createHash('sha256').update(bytes).digest('hex');

let hub: Awaited<ReturnType<typeof startHub>>;
let repo = '';
let count = 0;
let pauses: number[] = [];

beforeAll(async () => {
  hub = await startHub();
});
afterAll(() => hub.close());

const post = (path: string, body: unknown) =>
  fetch(`${hub.url}/__hub/${path}`, { method: 'POST', body: JSON.stringify(body) });
const fails = (fault: Omit<Fault, 'repo'>) => post('fault', { repo, ...fault });

beforeEach(async () => {
  repo = `tests/transfer-${count++}`;
  pauses = [];
  const files = {
    'config.json': { text: '{}' },
    [WEIGHTS]: { fixture: FIXTURE },
  };
  await post('repo', { repo, commit: COMMIT, files });
});

function context(more: Partial<HubContext> = {}): HubContext {
  const environment = {
    ...BROWSER,
    async sleep(milliseconds: number) {
      pauses.push(milliseconds);
    },
  };
  return { repo, host: hub.url, environment, ...more };
}

const weights: RemoteFile = { path: WEIGHTS, bytes: bytes.length, sha256, gitSha1: null };

async function receive(file: RemoteFile, sink = new MemorySink(), more: Partial<HubContext> = {}) {
  const received = await transfer(fileUrl(hub.url, repo, COMMIT, file.path), file, sink, {
    context: context(more),
    etag: null,
    onEtag: async () => undefined,
    onBytes: () => undefined,
  });
  return { received, blob: await sink.finish() };
}

describe('a repository', () => {
  it('is listed with sizes, sha256 of large files and git names of small ones', async () => {
    const listing = await listRepository({ repo, revision: 'main' }, context());
    expect(listing).toEqual({
      commit: COMMIT,
      files: [
        {
          path: 'config.json',
          bytes: 2,
          sha256: null,
          // `git hash-object` of a file that holds {}
          gitSha1: '9e26dfeeb6e641a33dae4961196235bdb965b21b',
        },
        weights,
      ],
      licence: null,
    });
  });

  it.each<[string, unknown, string | null]>([
    ['an identifier', { license: 'apache-2.0' }, 'apache-2.0'],
    ['a name of its own', { license: 'other', license_name: 'a-licence' }, 'a-licence'],
    ['no name', { license: 'other' }, 'other'],
    ['several', { license: ['mit', 'apache-2.0'] }, 'mit, apache-2.0'],
    ['markup', { license: '<b>mit</b>' }, null],
    ['a number', { license: 7 }, null],
    ['no card', null, null],
  ])('says the licence of its card: %s', async (_, card, licence) => {
    await post('repo', { repo, commit: COMMIT, files: {}, card });
    expect(await listRepository({ repo, revision: 'main' }, context())).toMatchObject({ licence });
  });

  it('on a server without an API is probed file by file', async () => {
    const files = { 'config.json': { text: '{}' }, [WEIGHTS]: { fixture: FIXTURE } };
    await post('repo', { repo, commit: COMMIT, files, hasApi: false });
    expect(await listRepository({ repo, revision: 'main' }, context())).toEqual({
      commit: COMMIT,
      files: null,
      licence: null,
    });
    expect(await probeFile(repo, COMMIT, WEIGHTS, context())).toEqual(weights);
    expect(await probeFile(repo, COMMIT, 'missing.json', context())).toBeNull();
  });
});

describe('transfer', () => {
  it('brings the bytes and says their hash', async () => {
    const { received, blob } = await receive(weights);
    expect(received).toEqual({ bytes: bytes.length, sha256 });
    expect(new Uint8Array(await blob.arrayBuffer())).toEqual(bytes);
  });

  it('goes on from a part, hashing it anew', async () => {
    const sink = new MemorySink();
    await sink.write(bytes.slice(0, 70_000));
    await fails({ path: WEIGHTS, kind: 'short', after: 20_000, times: 1 });
    const { received, blob } = await receive(weights, sink);
    expect(received.sha256).toBe(sha256);
    expect(new Uint8Array(await blob.arrayBuffer())).toEqual(bytes);
    expect(pauses).toEqual([1000]);
  });

  it('needs no request for a part that is whole, and throws away one that is too long', async () => {
    const whole = new MemorySink();
    await whole.write(bytes.slice());
    await fails({ path: WEIGHTS, kind: 'status', status: 500, times: 1 });
    expect((await receive(weights, whole)).received.sha256).toBe(sha256);
    const long = new MemorySink();
    await long.write(new Uint8Array(bytes.length + 1));
    expect((await receive(weights, long)).received.sha256).toBe(sha256);
  });

  it('of a file of unknown size and hash says what they are', async () => {
    const unknown = { ...weights, bytes: null, sha256: null };
    expect((await receive(unknown)).received).toEqual({ bytes: bytes.length, sha256 });
    // A part that is longer than the file is refused by the server (416).
    const sink = new MemorySink();
    await sink.write(new Uint8Array(bytes.length + 5));
    expect((await receive(unknown, sink)).received).toEqual({ bytes: bytes.length, sha256 });
  });

  it('waits twice as long each time, then gives up with the server’s own failure', async () => {
    await fails({ path: WEIGHTS, kind: 'status', status: 503, times: 9 });
    await expect(receive(weights)).rejects.toMatchObject({
      name: 'DownloadError',
      message: expect.stringContaining('status 503') as string,
    });
    expect(pauses).toEqual([1000, 2000, 4000, 8000, 16_000]);
  });

  it('waits as long as the server says, but no more than a minute', async () => {
    const later = new Date(Date.now() + 3_600_000).toUTCString();
    for (const wait of ['7', later]) {
      const headers = { 'Retry-After': wait };
      await fails({ path: WEIGHTS, kind: 'status', status: 429, headers, times: 1 });
    }
    await receive(weights);
    expect(pauses).toEqual([7000, 60_000]);
  });

  it('refuses more bytes than promised, and other bytes', async () => {
    const sink = new MemorySink();
    const small = { ...weights, bytes: 1000 };
    await expect(receive(small, sink)).rejects.toMatchObject({ name: 'IntegrityError' });
    expect(sink.size).toBe(0);
    const other = { ...weights, sha256: '0'.repeat(64) };
    await expect(receive(other, sink)).rejects.toMatchObject({ name: 'IntegrityError' });
    expect(sink.size).toBe(0);
  });

  it('can be cancelled while it waits', async () => {
    await fails({ path: WEIGHTS, kind: 'status', status: 503, times: 9 });
    const abort = new AbortController();
    const waiting = receive(weights, new MemorySink(), {
      signal: abort.signal,
      onWaiting: () => abort.abort(),
      environment: BROWSER,
    });
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe('an answer that no hub should give', () => {
  const answer = (respond: () => Response) => ({
    environment: { ...BROWSER, fetchOf: () => async () => respond(), sleep: async () => undefined },
  });

  it.each([204, 205])('of status %d is an error with a sentence', async (status) => {
    const more = answer(() => new Response(null, { status }));
    await expect(receive(weights, undefined, more)).rejects.toMatchObject({
      name: 'DownloadError',
      message: expect.stringMatching(
        `sent nothing for ${WEIGHTS} \\(status ${status}\\)`,
      ) as string,
    });
    const probed = await probeFile(repo, COMMIT, WEIGHTS, context(more));
    expect(probed).toMatchObject({ path: WEIGHTS, sha256: null });
  });

  it.each(['<http://[>; rel="next"', '<//[>; rel=next'])(
    'with the next page %s is an error with a sentence',
    async (link) => {
      const more = answer(() => {
        const isTree = asked++ > 0;
        const body = isTree ? [] : { sha: COMMIT };
        return new Response(JSON.stringify(body), { headers: isTree ? { link } : {} });
      });
      let asked = 0;
      await expect(listRepository({ repo, revision: 'main' }, context(more))).rejects.toMatchObject(
        {
          name: 'DownloadError',
          message: expect.stringContaining('names a next page that is no address') as string,
        },
      );
    },
  );

  it('that lists pages without end is not taken for a whole list', async () => {
    let asked = 0;
    const more = answer(() => {
      const body = asked++ > 0 ? [] : { sha: COMMIT };
      return new Response(JSON.stringify(body), { headers: { link: '<?page=2>; rel="next"' } });
    });
    await expect(listRepository({ repo, revision: 'main' }, context(more))).rejects.toThrow(
      'lists more files than a model has',
    );
    expect(asked).toBeLessThan(30);
  });

  it('refuses an address that cannot be decoded in words', async () => {
    let asked = 0;
    const more = answer(() => {
      if (asked++ === 0) return Response.json({ sha: COMMIT });
      const headers = { link: `<${hub.url}/%E0%A4%A>; rel="next"` };
      return asked === 2 ? Response.json([], { headers }) : new Response('', { status: 418 });
    });
    await expect(listRepository({ repo, revision: 'main' }, context(more))).rejects.toMatchObject({
      message: expect.stringContaining('/%E0%A4%A (status 418)') as string,
    });
  });
});
