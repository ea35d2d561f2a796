/** The fixtures of tests/fixtures/families for tests without a GPU. */
import { readFileSync, readdirSync } from 'node:fs';
import { memorySource } from '../byte-source';
import { mapDecoder } from './decoder';
import { referenceLogits } from './decoder.reference';
import { type OnnxModel, readOnnx } from './proto';
import type { ModelFiles } from '../decoder/tensor';

const root = new URL('../../../tests/fixtures/families/', import.meta.url);

/** Names of all fixtures. */
export const NAMES = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name);

export interface Family {
  /** The bytes of model.onnx. */
  bytes: Uint8Array;
  model: OnnxModel;
  files: ModelFiles;
  config: Record<string, unknown>;
  ids: number[];
  f16: boolean;
  /** PyTorch's, [ids.length, vocabSize]. */
  logits: Float32Array;
}

const read = new Map<string, Promise<Family>>();

/** A fixture, read once; every caller gets a graph of its own to alter. */
export async function load(name: string): Promise<Family> {
  const found = read.get(name) ?? readFamily(name);
  read.set(name, found);
  const family = await found;
  const { model } = family;
  const nodes = model.nodes.map((node) => ({
    ...node,
    inputs: [...node.inputs],
    outputs: [...node.outputs],
    attributes: new Map(node.attributes),
  }));
  const copies = { initializers: new Map(model.initializers), opsets: new Map(model.opsets) };
  return { ...family, config: { ...family.config }, model: { ...model, nodes, ...copies } };
}

async function readFamily(name: string): Promise<Family> {
  const bytes = (file: string) => new Uint8Array(readFileSync(new URL(`${name}/${file}`, root)));
  const json = (file: string) => JSON.parse(new TextDecoder().decode(bytes(file))) as unknown;
  const golden = json('golden.json') as {
    ids: number[];
    f16: boolean;
    files: string[];
    arrays: { logits: { offset: number; shape: [number, number] } };
  };
  const model = bytes('model.onnx');
  const files = {
    model: memorySource(model),
    external: new Map(golden.files.map((file) => [file, memorySource(bytes(file))])),
  };
  const { offset, shape } = golden.arrays.logits;
  return {
    bytes: model,
    model: await readOnnx(files.model),
    files,
    config: json('config.json') as Record<string, unknown>,
    ids: golden.ids,
    f16: golden.f16,
    logits: new Float32Array(bytes('golden.f32').buffer, offset, shape[0] * shape[1]),
  };
}

/** A fixture's external data as the runtime takes them. */
export function externalDataOf(name: string): { path: string; data: Uint8Array }[] {
  const folder = new URL(`${name}/`, root);
  return readdirSync(folder)
    .filter((file) => file.includes('.onnx_data'))
    .map((path) => ({ path, data: new Uint8Array(readFileSync(new URL(path, folder))) }));
}

/** ‖found − expected‖ / ‖expected‖; infinite where one is longer. */
export function distance(found: ArrayLike<number>, expected: Float32Array): number {
  if (found.length !== expected.length) return Infinity;
  let difference = 0;
  let size = 0;
  for (const [i, value] of expected.entries()) {
    difference += (found[i]! - value) ** 2;
    size += value ** 2;
  }
  return Math.sqrt(difference / size);
}

/** The {@link distance} of the mapped model's float64 forward pass from PyTorch's logits. */
export async function logitsError(family: Family): Promise<number> {
  const { model, files, config, ids, logits } = family;
  return distance(await referenceLogits(mapDecoder(model, config), files, ids), logits);
}
