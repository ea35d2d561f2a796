/** Bundled models and data from the disk: the same files that pages fetch, checked the same way. */
import { JsonTextError, parseBoundedJson } from '../formats/bounded-json';
import { access, constants, type FileHandle, open, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type ByteSource, handleSource, memorySource } from '../formats/byte-source';
import {
  manifestId,
  type ManifestPart,
  type ModelManifest,
  parseManifest,
  readWhole,
  verifyFile,
} from '../formats/manifest';
import { ChatTokenizer } from '../distill/data/chat';
import { assertStored, type ModelFiles } from '../formats/decoder/tensor';
import { externalFiles, tensorsOf } from '../formats/onnx/external';
import { readOnnx } from '../formats/onnx/proto';
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

/** Tokenizers have a few million values, documents of sweeps more. */
const JSON_LIMITS = { characters: 2 ** 29 - 2 ** 20, depth: 256, values: 2 ** 26 };

export async function jsonOf(path: string): Promise<unknown> {
  return parseJson(await bytesOf(path), path);
}

function parseJson(bytes: Uint8Array, path: string): unknown {
  if (bytes.length > JSON_LIMITS.characters) {
    throw new FileError(`${path} has ${bytes.length} bytes, more JSON than can be read.`);
  }
  try {
    return parseBoundedJson(new TextDecoder().decode(bytes), JSON_LIMITS);
  } catch (error) {
    if (error instanceof JsonTextError) throw new FileError(`${path}: ${error.message}`);
    throw error;
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
  const manifest = parseManifest(parseJson(bytes, join(path, 'manifest.json')));
  for (const file of manifest.files) await readWhole(file, checked(path));
  return { path, id: await manifestId(bytes), manifest };
}

/**
 * The model's tokenizer with its chat template and ends of answers, from the files that pages read.
 * @throws FileError, TokenizerError, ChatTemplateError
 */
export async function chatTokenizer({ path }: Pick<ModelFolder, 'path'>): Promise<ChatTokenizer> {
  const optional = async <T>(name: string, read: (path: string) => Promise<T>) =>
    (await exists(join(path, name))) ? read(join(path, name)) : null;
  const [tokenizer, tokenizerConfig, config, generation, template] = await Promise.all([
    jsonOf(join(path, 'tokenizer.json')),
    jsonOf(join(path, 'tokenizer_config.json')),
    jsonOf(join(path, 'config.json')),
    optional('generation_config.json', jsonOf),
    optional('chat_template.jinja', textOf),
  ]);
  return new ChatTokenizer(tokenizer, tokenizerConfig, { template, generation, config });
}

/** Reads what is stored of a file, and holds it to its hash. */
function checked(folder: string) {
  return async (part: ManifestPart): Promise<Uint8Array<ArrayBuffer>> => {
    const bytes = await bytesOf(join(folder, part.path));
    await verifyFile(part, bytes);
    return bytes;
  };
}

const WEIGHTS = 'onnx/model_q4.onnx';

/**
 * The model's ONNX file and its external data, by the location that it names, as random reads; close
 * them when the weights are on the GPU.
 * @throws FileError where a location is none of the model's files; OnnxFormatError, ByteSourceError
 */
export async function modelFiles(
  folder: ModelFolder,
): Promise<{ files: ModelFiles; close: () => Promise<void> }> {
  const handles: FileHandle[] = [];
  const source = async (path: string) => {
    const listed = folder.manifest.files.find((file) => file.path === path);
    // In parts it is joined, and read from memory.
    if (listed?.parts) return memorySource(await readWhole(listed, checked(folder.path)));
    const handle = await open(join(folder.path, path));
    handles.push(handle);
    return handleSource(handle, (await handle.stat()).size);
  };
  const close = async () => {
    for (const handle of handles) await handle.close();
  };
  try {
    const model = await source(WEIGHTS);
    const graph = await readOnnx(model);
    const external = new Map<string, ByteSource>();
    for (const [location, path] of externalFiles(graph, WEIGHTS)) {
      // What the manifest does not list has not been checked.
      if (!folder.manifest.files.some((file) => file.path === path)) {
        throw new FileError(
          `${folder.path} has no ${path} in its manifest, where ${WEIGHTS} keeps its weights.`,
        );
      }
      external.set(location, await source(path));
    }
    const files = { model, external };
    for (const tensor of tensorsOf(graph)) assertStored(tensor, files);
    return { files, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** {@link modelFiles} as onnxruntime takes them. @throws what that does */
export async function runtimeFiles(
  folder: ModelFolder,
): Promise<{ model: Uint8Array; externalData: { path: string; data: Uint8Array }[] }> {
  const { files, close } = await modelFiles(folder);
  try {
    const whole = (source: ByteSource) => source.read(0, source.size);
    const externalData: { path: string; data: Uint8Array }[] = [];
    for (const [path, source] of files.external) {
      externalData.push({ path, data: await whole(source) });
    }
    return { model: await whole(files.model), externalData };
  } finally {
    await close();
  }
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
