/** Whether a folder of files is a student that lab and chat can open, before a site has it. */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { chatTokenizer, exists, jsonOf } from '../../src/cli/node-files';
import { tryTokenizerOf } from '../../src/cli/tokenizer-trial';
import { type ByteSource, handleSource } from '../../src/formats/byte-source';
import { parseDecoderConfig } from '../../src/formats/decoder/config';
import type { Linear } from '../../src/formats/decoder/linear';
import type { DecoderModel, DenseTensor } from '../../src/formats/decoder/model';
import { assertStored, elementCount } from '../../src/formats/decoder/tensor';
import { type ErrorCode, KnownError } from '../../src/formats/errors';
import { mapDecoder } from '../../src/formats/onnx/decoder';
import { externalFiles, readExternalFiles, tensorsOf } from '../../src/formats/onnx/external';
import { readOnnx } from '../../src/formats/onnx/proto';

/** A folder that lacks a file that its weights or pages need. */
export class LackingFolderError extends KnownError {
  override readonly name = 'LackingFolderError';
  readonly errorCode: ErrorCode = 'unsupported-model';
}

/**
 * Config, tokenizer and template. Pages trust a site's own models, so a tokenizer is tried here, in a
 * thread that can be ended.
 * @param trialScript of that thread
 * @throws UnsupportedModelError, TokenizerError, ChatTemplateError, FileError
 */
export async function inspectTexts(folder: string, trialScript: URL): Promise<void> {
  parseDecoderConfig(await jsonOf(join(folder, 'config.json')));
  await tryTokenizerOf({ path: folder }, trialScript);
  await chatTokenizer({ path: folder });
}

/**
 * The weights, to the last node of the graph and the last byte of its external data.
 * @param path of the ONNX file in the folder
 * @returns how many weights the model has; a head that is tied to the embedding is counted once
 * @throws UnsupportedModelError, OnnxFormatError, LackingFolderError, ByteSourceError
 */
export async function inspectWeights(folder: string, path: string): Promise<number> {
  const config = await jsonOf(join(folder, 'config.json'));
  const handles: FileHandle[] = [];
  const source = async (file: string) => {
    const handle = await open(join(folder, file));
    handles.push(handle);
    return handleSource(handle, (await handle.stat()).size);
  };
  try {
    const model = await source(path);
    const graph = await readOnnx(model);
    const external = new Map<string, ByteSource>();
    for (const [location, file] of externalFiles(graph, path)) {
      if (!(await exists(join(folder, file)))) {
        throw new LackingFolderError(`${folder} has no ${file}, where ${path} keeps its weights.`);
      }
      external.set(location, await source(file));
    }
    for (const tensor of tensorsOf(graph)) assertStored(tensor, { model, external });
    return countWeights(mapDecoder(graph, config), config);
  } finally {
    for (const handle of handles) await handle.close();
  }
}

/** Paths of the files that an ONNX file of a folder keeps weights in. @throws OnnxFormatError */
export async function dataFiles(folder: string, path: string): Promise<string[]> {
  const handle = await open(join(folder, path));
  try {
    return await readExternalFiles(handleSource(handle, (await handle.stat()).size), path);
  } finally {
    await handle.close();
  }
}

export function countWeights(model: DecoderModel, config: unknown): number {
  const dense = (tensor?: DenseTensor) => (tensor ? elementCount(tensor.data.dims) : 0);
  const linear = ({ outFeatures, inFeatures, bias }: Linear) =>
    outFeatures * inFeatures + (bias ? outFeatures : 0);
  const { embedding, layers, finalNorm, head } = model;
  const { ffnDim } = parseDecoderConfig(config);
  let count = embedding.kind === 'int4' ? linear(embedding.table) : dense(embedding);
  for (const layer of layers) {
    const { q, k, v, o, gate, up, down } = layer;
    for (const each of [q, k, v, o]) count += linear(each);
    // Some exporters fill the last block of hidden values with zeros.
    const filled = down.inFeatures - ffnDim;
    for (const each of [gate, up, down]) count += linear(each) - filled * down.outFeatures;
    const { inputNorm, qNorm, kNorm, attentionNorm, postNorm, mlpNorm } = layer;
    for (const each of [inputNorm, qNorm, kNorm, attentionNorm, postNorm, mlpNorm]) {
      count += dense(each);
    }
  }
  return count + dense(finalNorm) + (isTied(config) ? 0 : linear(head));
}

/** As transformers' configurations have it where a file leaves it out. */
function isTied(config: unknown): boolean {
  const { tie_word_embeddings: tied, model_type: family } = config as Record<string, unknown>;
  return typeof tied === 'boolean' ? tied : String(family).startsWith('gemma');
}
