/** Bundled models and data from the disk: the same files that pages fetch, checked the same way. */
import { access, constants, open, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { handleSource } from '../formats/byte-source';
import { manifestId, type ModelManifest, parseManifest, verifyFile } from '../formats/manifest';
import type { ModelFiles } from '../formats/decoder/tensor';
import { parseDomain, parsePromptItems, type Domain } from '../distill/data/dataset';
import type { PromptItem } from '../distill/types';

/** A file that is missing or cannot be read; the message names it. */
export class FileError extends Error {
  override readonly name = 'FileError';
}

export interface ModelFolder {
  path: string;
  /** What links and caches call the model. */
  id: string;
  manifest: ModelManifest;
}

export async function bytesOf(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(path));
  } catch {
    throw new FileError(`${path} cannot be read.`);
  }
}

export async function textOf(path: string): Promise<string> {
  return new TextDecoder().decode(await bytesOf(path));
}

export async function jsonOf(path: string): Promise<unknown> {
  const text = await textOf(path);
  try {
    return JSON.parse(text);
  } catch {
    throw new FileError(`${path} is not JSON.`);
  }
}

/** Checks that `path` can be written, without touching it. @throws FileError */
export async function requireWritable(path: string): Promise<void> {
  try {
    const info = await stat(path).catch(() => null);
    if (info?.isDirectory()) throw new Error('It is a folder.');
    await access(info ? path : dirname(path), constants.W_OK);
  } catch {
    throw new FileError(`${path} cannot be written.`);
  }
}

export async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

/** Null where there is no such file. */
export async function optionalJson(path: string): Promise<unknown> {
  try {
    return await jsonOf(path);
  } catch {
    return null;
  }
}

/**
 * Opens `models/name`: reads the manifest and checks every file against it.
 * @throws FileError, ManifestError, IntegrityError
 */
export async function openModel(models: string, name: string): Promise<ModelFolder> {
  const path = join(models, name);
  const bytes = await bytesOf(join(path, 'manifest.json'));
  const manifest = parseManifest(JSON.parse(new TextDecoder().decode(bytes)) as unknown);
  for (const file of manifest.files) await verifyFile(file, await bytesOf(join(path, file.path)));
  return { path, id: await manifestId(bytes), manifest };
}

/** The decoder's ONNX file as random reads; close it when the weights are on the GPU. */
export async function modelFiles(
  folder: ModelFolder,
): Promise<{ files: ModelFiles; close: () => Promise<void> }> {
  const handle = await open(join(folder.path, 'onnx', 'model_q4.onnx'));
  const { size } = await handle.stat();
  return {
    files: { model: handleSource(handle, size), external: new Map() },
    close: () => handle.close(),
  };
}

export interface BundledData {
  train: PromptItem[];
  wording: PromptItem[];
  intent: PromptItem[];
  domain: Domain;
}

export async function bundledData(data: string): Promise<BundledData> {
  const items = async (name: string) => parsePromptItems(await textOf(join(data, `${name}.jsonl`)));
  return {
    train: await items('train'),
    wording: await items('wording'),
    intent: await items('intent'),
    domain: parseDomain(await jsonOf(join(data, 'domain.json'))),
  };
}
