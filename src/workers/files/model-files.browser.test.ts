// Downloads as they go wrong: altered, cut, missing files; a cache that went bad; cancelling.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { sha256Hex } from '../../formats/manifest';
import { loadModelFiles } from './model-files';
import type { Progress } from '../wire/protocol';

const ROOT = 'http://models.invalid/models/';
const CACHE = 'retort-models-1';
const config = new TextEncoder().encode('{"vocab_size":7}');
const weights = Uint8Array.from({ length: 5000 }, (_, i) => i % 251);

/** What the server sends, by path under the model's folder; tests change it. */
let served: Map<string, Uint8Array<ArrayBuffer> | 404>;
let asked: string[];

async function manifest(): Promise<Uint8Array<ArrayBuffer>> {
  const file = async (path: string, bytes: Uint8Array<ArrayBuffer>) => ({
    path,
    sha256: await sha256Hex(bytes),
    bytes: bytes.byteLength,
  });
  return new TextEncoder().encode(
    JSON.stringify({
      id: 'tiny',
      kind: 'student',
      version: '1.0.0',
      files: [await file('config.json', config), await file('onnx/model_q4.onnx', weights)],
      parameters: 1,
      licence: 'MIT',
      seed: 0,
      split: 'none',
      command: 'none',
      versions: {},
      scores: {},
    }),
  );
}

beforeEach(async () => {
  await caches.delete(CACHE);
  asked = [];
  served = new Map<string, Uint8Array<ArrayBuffer> | 404>([
    ['manifest.json', await manifest()],
    ['config.json', config],
    ['onnx/model_q4.onnx', weights],
  ]);
  vi.stubGlobal('fetch', async (url: string, init?: RequestInit) => {
    init?.signal?.throwIfAborted();
    const path = url.replace(`${ROOT}tiny/`, '');
    asked.push(path);
    const bytes = served.get(path) ?? 404;
    return bytes === 404 ? new Response(null, { status: 404 }) : new Response(bytes);
  });
});

afterEach(async () => {
  vi.unstubAllGlobals();
  await caches.delete(CACHE);
});

describe('loadModelFiles', () => {
  test('downloads with progress, checks, and the second time downloads the manifest only', async () => {
    const seen: Progress[] = [];
    const first = await loadModelFiles(ROOT, 'tiny', { onProgress: (event) => seen.push(event) });
    expect(first.fromCache).toBe(false);
    expect(first.files.get('config.json')).toEqual(config);
    expect(first.files.get('onnx/model_q4.onnx')).toEqual(weights);
    const downloads = seen.filter(({ phase }) => phase === 'download');
    const dones = downloads.map(({ done }) => done);
    expect(dones).toEqual(dones.toSorted((a, b) => a - b));
    expect(downloads.at(-1)).toMatchObject({ done: 5016, total: 5016, unit: 'bytes' });

    asked = [];
    const second = await loadModelFiles(ROOT, 'tiny');
    expect(second.fromCache).toBe(true);
    expect(second.files).toEqual(first.files);
    expect(asked).toEqual(['manifest.json']);
  });

  test('refuses an altered file and never keeps it', async () => {
    served.set(
      'onnx/model_q4.onnx',
      weights.map((byte, i) => (i === 4000 ? byte ^ 1 : byte)),
    );
    await expect(loadModelFiles(ROOT, 'tiny')).rejects.toMatchObject({
      name: 'IntegrityError',
      message: expect.stringContaining('onnx/model_q4.onnx') as string,
    });
    served.set('onnx/model_q4.onnx', weights);
    asked = [];
    expect((await loadModelFiles(ROOT, 'tiny')).files.get('onnx/model_q4.onnx')).toEqual(weights);
    expect(asked).toEqual(['manifest.json', 'onnx/model_q4.onnx']);
  });

  test('refuses a cut file', async () => {
    served.set('onnx/model_q4.onnx', weights.slice(0, 4999));
    await expect(loadModelFiles(ROOT, 'tiny')).rejects.toThrow(/5000 bytes.*4999/);
  });

  test('fetches again what went bad in the cache', async () => {
    await loadModelFiles(ROOT, 'tiny');
    const cache = await caches.open(CACHE);
    const keys = await cache.keys();
    const key = keys.find(({ url }) => url.includes('model_q4'));
    await cache.put(key!, new Response(new Uint8Array(5000)));
    asked = [];
    const again = await loadModelFiles(ROOT, 'tiny');
    expect(again.files.get('onnx/model_q4.onnx')).toEqual(weights);
    expect(asked).toEqual(['manifest.json', 'onnx/model_q4.onnx']);
  });

  test('names a missing file, and a server that sends a page for everything', async () => {
    served.set('config.json', 404);
    await expect(loadModelFiles(ROOT, 'tiny')).rejects.toMatchObject({
      name: 'DownloadError',
      message: expect.stringContaining('config.json is missing (status 404)') as string,
    });
    served.set('manifest.json', new TextEncoder().encode('<!doctype html>'));
    await expect(loadModelFiles(ROOT, 'tiny')).rejects.toMatchObject({ name: 'DownloadError' });
  });

  test('can be cancelled', async () => {
    const abort = new AbortController();
    const loading = loadModelFiles(ROOT, 'tiny', {
      signal: abort.signal,
      onProgress: () => abort.abort(),
    });
    await expect(loading).rejects.toMatchObject({ name: 'AbortError' });
  });
});
