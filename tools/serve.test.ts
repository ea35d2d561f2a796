import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { policy } from './csp.mjs';
import { parsePort, parseRange, policyOfPage, serve } from './serve.mjs';

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

test('parsePort takes port numbers only', () => {
  expect(parsePort('8080')).toBe(8080);
  expect(() => parsePort('80a')).toThrow('PORT must be a number');
  expect(() => parsePort('70000')).toThrow('PORT must be a number');
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

  test('refuses a port that is taken', async () => {
    const port = Number(new URL(server.url).port);
    await expect(serve({ root, port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});
