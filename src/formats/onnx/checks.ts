/** What a decoder's nodes must agree with, each refusing the model in a sentence. */
import { UnsupportedModelError } from '../decoder/errors';
import { assertCount, type Graph, unsupported } from './graph';
import type { Linear } from '../decoder/linear';
import { blockInputs } from './linear';
import type { OnnxNode } from './proto';
import type { TensorRef } from '../decoder/tensor';

/** Names of every exporter carry the layer and the role: a contradiction is not guessed away. */
export function assertName(node: OnnxNode, layer: number, role: string): void {
  const match = /layers\.(\d+)\/.*?(qkv|q|k|v|o|gate|up|down)_proj/.exec(node.name);
  if (match && (Number(match[1]) !== layer || match[2] !== role)) {
    throw unsupported(node, `the graph uses it as the ${role} projection of layer ${layer}`);
  }
}

/** `ragged`: inputs may end inside a block of weights. */
export function assertFeatures(
  node: OnnxNode,
  linear: Linear,
  out: number,
  inputs: number,
  ragged = false,
): void {
  if (linear.outFeatures === out && linear.inFeatures === inputs) {
    if (ragged || linear.inFeatures === blockInputs(linear)) return;
    const { name } = linear.data;
    throw unsupported(node, `the ${inputs} inputs of "${name}" end inside a block of weights`);
  }
  throw unsupported(
    node,
    `"${linear.data.name}" is [${linear.outFeatures}, ${linear.inFeatures}] where config.json ` +
      `makes it [${out}, ${inputs}]`,
  );
}

export function assertDims(node: OnnxNode, ref: TensorRef, dims: readonly number[]): void {
  const same = ref.dims.length === dims.length && ref.dims.every((dim, i) => dim === dims[i]);
  if (!same) assertCount(node, ref, -1, `[${dims.join(', ')}]`);
}

export function assertPair(node: OnnxNode, a: string, b: string): void {
  const [first, second] = node.inputs;
  if ((first === a && second === b) || (first === b && second === a)) return;
  throw unsupported(node, `it combines "${first}" and "${second}", not "${a}" and "${b}"`);
}

/** What to say where the walk finds no way on. */
export function lost(graph: Graph, tensor: string, expected: string): UnsupportedModelError {
  const readers = graph.consumers(tensor);
  const named = readers.slice(0, 4).map((node) => `"${node.name}" (${node.opType})`);
  if (readers.length > named.length) named.push(`${readers.length - named.length} more`);
  const found = named.join(', ');
  return new UnsupportedModelError(
    `After "${tensor}" ${expected} was expected; the graph has ${found || 'nothing'}.`,
  );
}
