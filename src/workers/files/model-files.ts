/**
 * The files of one of the site's models: downloaded with progress, checked against the manifest's
 * sha256, kept in the Cache API part by part, so that a download that was broken off goes on. A part
 * that does not match is never kept and never used.
 */
import {
  type ManifestPart,
  type ModelManifest,
  parseManifest,
  readWhole,
  verifyFile,
} from '../../formats/manifest';
import { DownloadError } from './errors';
import type { Progress } from '../wire/protocol';

const CACHE = 'retort-models-1';

export interface LoadedModel {
  manifest: ModelManifest;
  manifestBytes: Uint8Array<ArrayBuffer>;
  /** By the path in the manifest: `config.json`, `onnx/model_q4.onnx`. */
  files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** Bytes of all files. */
  bytes: number;
  /** True where nothing but the manifest was downloaded. */
  fromCache: boolean;
  /** 'memory' where the browser could not keep every part. */
  stored: 'cache' | 'memory';
}

export interface LoadOptions {
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

/**
 * @param root address of the models folder, with a slash at its end.
 * @throws DownloadError, IntegrityError, ManifestError.
 */
export async function loadModelFiles(
  root: string,
  model: string,
  { signal, onProgress }: LoadOptions = {},
): Promise<LoadedModel> {
  const base = new URL(`${encodeURIComponent(model)}/`, root).href;
  const manifestBytes = await download(`${base}manifest.json`, signal);
  const manifest = parseManifest(parseJson(manifestBytes, `${base}manifest.json`));
  const total = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  const cache = await openCache();
  const files = new Map<string, Uint8Array<ArrayBuffer>>();
  let done = 0;
  let fromCache = true;
  let stored: LoadedModel['stored'] = 'cache';
  for (const file of manifest.files) {
    const whole = await readWhole(file, async (part) => {
      const report = (bytes: number) =>
        onProgress?.({ phase: 'download', done: done + bytes, total, unit: 'bytes', fromCache });
      const key = cacheKey(base, part);
      const kept = await cache?.match(key);
      const old = kept && new Uint8Array(await kept.arrayBuffer());
      let bytes = old && (await matches(part, old)) ? old : null;
      if (!bytes) {
        fromCache = false;
        bytes = await download(base + part.path, signal, report);
        onProgress?.({ phase: 'verify', done, total, unit: 'bytes' });
        await verifyFile(part, bytes);
        if (!(await keep(cache, key, bytes))) stored = 'memory';
      }
      done += bytes.byteLength;
      report(0);
      return bytes;
    });
    files.set(file.path, whole);
  }
  return { manifest, manifestBytes, files, bytes: total, fromCache, stored };
}

/** A host that answers every address with a page must not look like a broken program. */
function parseJson(bytes: Uint8Array, name: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw new DownloadError(`${name} is not JSON: the server sent something else.`, { cause });
  }
}

/** The hash is part of the key: a new version of a model never meets an old file. */
function cacheKey(base: string, file: ManifestPart): string {
  return `${base}${file.path}?sha256=${file.sha256}`;
}

async function matches(file: ManifestPart, bytes: Uint8Array<ArrayBuffer>): Promise<boolean> {
  return verifyFile(file, bytes).then(
    () => true,
    () => false,
  );
}

/** Private windows and some hosts have no Cache API; then everything is downloaded each time. */
async function openCache(): Promise<Cache | null> {
  try {
    return await caches.open(CACHE);
  } catch {
    return null;
  }
}

/** False where it could not be kept; a full disk must not stop the run. */
async function keep(
  cache: Cache | null,
  key: string,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  if (!cache) return false;
  try {
    await cache.put(key, new Response(bytes));
    return true;
  } catch {
    await cache.delete(key);
    return false;
  }
}

/** @throws DownloadError; the signal's reason when aborted. */
export async function download(
  url: string,
  signal?: AbortSignal,
  onBytes?: (bytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response;
  try {
    response = await fetch(url, signal ? { signal } : {});
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new DownloadError(`${url} could not be fetched. Is the server still there?`, { cause });
  }
  if (!response.ok || !response.body) {
    throw new DownloadError(`${url} is missing (status ${response.status}).`);
  }
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    size += value.byteLength;
    onBytes?.(size);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}
