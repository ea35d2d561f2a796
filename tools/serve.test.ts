import { mkdtemp, mkdir, readdir, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { get as httpGet } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { policy } from './csp.mjs';
import { parseRange, policyOfPage, serve } from './serve.mjs';

describe('parseRange', () => {
  test.each([
    [undefined, undefined],
    ['bytes=-', undefined],
    ['items=0-1', undefined],
    ['bytes=0-3', { start: 0, end: 3 }],
    ['bytes=4-', { start: 4, end: 9 }],
    ['bytes=-3', { start: 7, end: 9 }],
    ['bytes=-30', { start: 0, end: 9 }],
    ['bytes=8-99', { start: 8, end: 9 }],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=5-4', 'unsatisfiable'],
  ])('%s of 10 bytes', (header, expected) => {
    expect(parseRange(header, 10)).toEqual(expected);
  });
});

test('the header of a page repeats the policy of its meta element', () => {
  const page = `<meta http-equiv="content-security-policy" content="script-src 'sha256-x'">`;
  expect(policyOfPage(page)).toBe("script-src 'sha256-x'");
  expect(policyOfPage('<p>no policy</p>')).toBe(policy);
});

describe('the static server', () => {
  let root = '';
  let server: Awaited<ReturnType<typeof serve>>;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'retort-serve-'));
    await mkdir(join(root, 'lab'));
    await mkdir(join(root, '_app/immutable'), { recursive: true });
    await writeFile(join(root, 'lab/index.html'), '<p>lab</p>');
    await writeFile(join(root, 'model.onnx'), '0123456789');
    await writeFile(join(root, 'empty.txt'), '');
    await writeFile(join(root, '.stamp'), 'private');
    await writeFile(join(root, '_app/immutable/x.wasm'), 'wasm');
    server = await serve({ root, base: '/sub/', port: 0 });
  });

  afterAll(async () => {
    await server.close();
    await rm(root, { recursive: true });
  });

  const get = (path: string, headers: Record<string, string> = {}) =>
    fetch(new URL(path, server.url), { headers, redirect: 'manual' });

  test('serves a folder as its page, with a slash', async () => {
    expect(await (await get('lab/')).text()).toBe('<p>lab</p>');
    const redirect = await get('lab?x=1');
    expect(redirect.status).toBe(308);
    expect(redirect.headers.get('location')).toBe('/sub/lab/?x=1');
  });

  test('sends byte ranges', async () => {
    const part = await get('model.onnx', { range: 'bytes=2-4' });
    expect(part.status).toBe(206);
    expect(part.headers.get('content-range')).toBe('bytes 2-4/10');
    expect(await part.text()).toBe('234');
    expect((await get('model.onnx', { range: 'bytes=10-' })).status).toBe(416);
    expect((await (await get('empty.txt')).text()).length).toBe(0);
  });

  test('names types, policy and how long to keep a file', async () => {
    const wasm = await get('_app/immutable/x.wasm');
    expect(wasm.headers.get('content-type')).toBe('application/wasm');
    expect(wasm.headers.get('content-security-policy')).toBe(policy);
    expect(wasm.headers.get('cache-control')).toContain('immutable');
    expect((await get('model.onnx')).headers.get('cache-control')).toBe('no-cache');
  });

  test('keeps everything else to itself', async () => {
    for (const path of ['.stamp', '%2e%2e/secret', '..%2f..%2fetc/passwd', '/other/', 'none']) {
      expect((await get(path)).status, path).toBe(404);
    }
    const posted = await fetch(server.url, { method: 'POST' });
    expect(posted.status).toBe(405);
  });

  /** Status and Location of a path that is sent as it is: `fetch` would tidy it. */
  const raw = (path: string, url = server.url) =>
    new Promise<[number | undefined, string | undefined]>((done, fail) => {
      const { hostname, port } = new URL(url);
      httpGet({ hostname, port, path }, (answer) => {
        answer.resume();
        done([answer.statusCode, answer.headers.location]);
      }).on('error', fail);
    });

  test('never sends anybody to another host', async () => {
    const atRoot = await serve({ root, port: 0 });
    try {
      for (const path of ['/%2Flab', '/%2flab', '/.//lab', '/%5Clab', '/%2F%2Flab', '/x/%2Flab']) {
        expect([path, await raw(path, atRoot.url)]).toEqual([path, [404, undefined]]);
      }
      expect(await raw('//lab', atRoot.url)).toEqual([404, undefined]);
      expect(await raw('/lab', atRoot.url)).toEqual([308, '/lab/']);
      expect(await raw('/%6Cab?x=1', atRoot.url)).toEqual([308, '/%6Cab/?x=1']);
    } finally {
      await atRoot.close();
    }
  });

  test('answers what is no path with a status, and goes on', async () => {
    expect(await raw('/sub/%')).toEqual([400, undefined]);
    expect(await raw('/sub/a%00b')).toEqual([404, undefined]);
    expect(await raw('/sub/model.onnx/')).toEqual([404, undefined]);
    expect(await raw('/sub/model.onnx')).toEqual([200, undefined]);
  });

  test('follows links inside the folder, and none out of it', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'retort-outside-'));
    try {
      await writeFile(join(outside, 'private.txt'), 'private');
      await writeFile(join(outside, 'index.html'), '<p>private</p>');
      await symlink(join(outside, 'private.txt'), join(root, 'file.txt'));
      await symlink(outside, join(root, 'folder'));
      await mkdir(join(root, 'page'));
      await symlink(join(outside, 'index.html'), join(root, 'page/index.html'));
      await symlink(join(root, 'model.onnx'), join(root, 'again.onnx'));
      for (const path of ['file.txt', 'folder/private.txt', 'folder/', 'folder', 'page/']) {
        expect([path, (await get(path)).status]).toEqual([path, 404]);
      }
      expect(await (await get('again.onnx')).text()).toBe('0123456789');
    } finally {
      await rm(outside, { recursive: true });
    }
  });

  // Only Linux lists what a process has open.
  test.runIf(process.platform === 'linux')('closes a file that nobody waits for', async () => {
    const file = join(root, 'large.onnx');
    // More than sockets take before they wait for whoever reads.
    await writeFile(file, new Uint8Array(64 * 2 ** 20));
    const opened = async () => {
      const links = (await readdir('/proc/self/fd')).map((fd) =>
        readlink(`/proc/self/fd/${fd}`).catch(() => ''),
      );
      return (await Promise.all(links)).filter((link) => link === file).length;
    };
    for (let i = 0; i < 3; i++) {
      await new Promise<void>((done, fail) => {
        httpGet(new URL('large.onnx', server.url), (answer) => {
          answer.once('data', () => answer.destroy());
          answer.once('close', () => done());
          answer.once('error', () => {});
        }).on('error', fail);
      });
    }
    await expect.poll(opened, { timeout: 5000 }).toBe(0);
  });

  test('refuses a port that is taken', async () => {
    const port = Number(new URL(server.url).port);
    await expect(serve({ root, port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});
