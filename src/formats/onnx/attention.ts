/** GroupQueryAttention with the projections, head norms and rotation in front of it. */
import { assertDims, assertFeatures, assertName } from './checks';
import { isOp, MICROSOFT, numberAttribute, unsupported } from './graph';
import type { Linear } from '../decoder/linear';
import { isLinearOp, readLinear, sliceOutputs } from './linear';
import { linearAfter } from './mlp';
import type { DecoderLayer, DenseTensor, Rotary } from '../decoder/model';
import { readNormOf } from './norm';
import type { OnnxNode } from './proto';
import { claimPlumbing, denseTensor, throughCasts, type Walk } from './walk';

/** One layer's attention as the graph computes it. */
export interface AttentionSite {
  weights: Pick<DecoderLayer, 'q' | 'k' | 'v' | 'o' | 'qNorm' | 'kNorm'>;
  rotary: Rotary;
  softCap: number | null;
  window: number | null;
  output: string;
}

/** The GroupQueryAttention that the projections of `input` feed, if there is one. */
export function findFusedAttention({ graph }: Walk, input: string): OnnxNode | undefined {
  // Projection, bias, split, norm between two reshapes, RoPE: six nodes at most lie in between.
  return graph.nearest([input], 7, (node) => isOp(node, 'GroupQueryAttention', MICROSOFT));
}

export function readFusedAttention(
  walk: Walk,
  node: OnnxNode,
  input: string,
  layer: number,
): AttentionSite {
  const { graph, config } = walk;
  checkAttention(walk, node, layer);
  graph.claim(node);
  const queries = config.heads * config.headDim;
  const keys = config.kvHeads * config.headDim;
  const [queryInput = '', keyInput = '', valueInput = ''] = node.inputs;
  const split = graph.producer(queryInput);
  let packedInput = keyInput === '' && valueInput === '' ? queryInput : null;
  if (split && isOp(split, 'Split')) packedInput = splitSource(walk, split, node);

  let projections: Pick<DecoderLayer, 'q' | 'k' | 'v'>;
  let rotary = fusedRotary(walk, node);
  let norms: { qNorm?: DenseTensor; kNorm?: DenseTensor } = {};
  if (packedInput !== null) {
    const packed = linearBehind(walk, node, packedInput, input, layer, 'qkv');
    assertFeatures(node, packed, queries + 2 * keys, config.dim);
    projections = {
      q: sliceOutputs(node, packed, 0, queries),
      k: sliceOutputs(node, packed, queries, keys),
      v: sliceOutputs(node, packed, queries + keys, keys),
    };
  } else {
    const query = behindRotation(walk, node, queryInput, rotary !== undefined);
    const key = behindRotation(walk, node, keyInput, rotary !== undefined);
    rotary ??= query.rotary;
    if (query.norm && key.norm) norms = { qNorm: query.norm, kNorm: key.norm };
    else if (query.norm || key.norm) throw unsupported(node, 'only one of q and k is normalised');
    projections = {
      q: linearBehind(walk, node, query.tensor, input, layer, 'q'),
      k: linearBehind(walk, node, key.tensor, input, layer, 'k'),
      v: linearBehind(walk, node, valueInput, input, layer, 'v'),
    };
    assertFeatures(node, projections.q, queries, config.dim);
    assertFeatures(node, projections.k, keys, config.dim);
    assertFeatures(node, projections.v, keys, config.dim);
  }
  if (rotary === undefined) throw unsupported(node, 'its queries are not rotated by position');
  if (node.inputs[14]) norms = ownNorms(walk, node);
  const out = linearAfter(graph, throughCasts(graph, node.outputs[0] ?? ''), layer, 'o');
  assertFeatures(out.node, out.linear, config.dim, queries);
  const window = numberAttribute(node, 'local_window_size', -1);
  return {
    weights: { ...projections, ...norms, o: out.linear },
    rotary,
    softCap: numberAttribute(node, 'softcap', 0) || null,
    window: window > 0 ? window : null,
    output: out.output,
  };
}

function checkAttention({ graph, config }: Walk, node: OnnxNode, layer: number): void {
  const expect = (name: string, otherwise: number, expected: number): void => {
    const value = numberAttribute(node, name, otherwise);
    if (value !== expected) throw unsupported(node, `${name} is ${value}, not ${expected}`);
  };
  expect('num_heads', 0, config.heads);
  expect('kv_num_heads', 0, config.kvHeads);
  expect('rotary_interleaved', 0, 0);
  expect('smooth_softmax', 0, 0);
  const cap = numberAttribute(node, 'softcap', 0);
  const expectedCap = config.attentionSoftCap ?? 0;
  if (cap !== expectedCap) throw unsupported(node, `softcap is ${cap}, not ${expectedCap}`);
  const window = numberAttribute(node, 'local_window_size', -1);
  if (window > 0 && !config.windows.includes(window)) {
    const said = config.windows.find((size) => size !== null) ?? null;
    throw unsupported(
      node,
      `local_window_size is ${window}; by config.json ` +
        (said === null ? 'no layer has a window' : `windows are of ${said}`),
    );
  }
  const scale = numberAttribute(node, 'scale', 0) || config.headDim ** -0.5;
  if (Math.abs(scale / config.attentionScale - 1) > 1e-5) {
    throw unsupported(node, `its scale ${scale} is not 1/√${config.attentionScale ** -2}`);
  }
  for (const [index, part] of [
    [3, 'key'],
    [4, 'value'],
  ] as const) {
    const expected = `past_key_values.${layer}.${part}`;
    if (node.inputs[index] !== expected) {
      throw unsupported(node, `its cache is "${node.inputs[index]}", not "${expected}"`);
    }
  }
  if (node.inputs.some((name, index) => index > 8 && index !== 14 && index !== 15 && name !== '')) {
    throw unsupported(node, 'it has position ids, a bias, sinks or cache scales of its own');
  }
  claimPlumbing(graph, node.inputs[5] ?? '');
  claimPlumbing(graph, node.inputs[6] ?? '');
}

/** RMSNorm weights that newer GroupQueryAttention nodes apply to q and k themselves. */
function ownNorms({ graph, config }: Walk, node: OnnxNode) {
  const eps = numberAttribute(node, 'qk_norm_epsilon', 1e-6);
  if (Math.abs(eps - config.normEps) > 1e-6 * config.normEps) {
    throw unsupported(node, `its qk_norm_epsilon ${eps} is not config.json's ${config.normEps}`);
  }
  const read = (index: number) => {
    const data = graph.weight(node, index, 'norm weight');
    assertDims(node, data, [config.headDim]);
    return denseTensor(node, data);
  };
  return { qNorm: read(14), kNorm: read(15) };
}

/** Split of a packed projection into the q, k and v that `attention` reads. */
function splitSource({ graph, config }: Walk, split: OnnxNode, attention: OnnxNode): string {
  const same = split.outputs.every((output, index) => output === attention.inputs[index]);
  const axis = numberAttribute(split, 'axis', 0);
  // Only equal parts may go without sizes, and those of GQA are not equal.
  const sizes = graph.constant(split.inputs[1] ?? '');
  const uneven = config.heads !== config.kvHeads;
  if (!same || (axis !== -1 && axis !== 2) || (uneven && sizes === undefined)) {
    throw unsupported(split, 'it does not split a packed projection into q, k and v');
  }
  graph.claim(split);
  return split.inputs[0] ?? '';
}

/** The caches of an attention that rotates q and k itself. */
function fusedRotary({ graph, config }: Walk, node: OnnxNode): Rotary | undefined {
  if (numberAttribute(node, 'do_rotary', 0) !== 1) return undefined;
  return caches({ graph, config }, node, 7);
}

function caches({ graph, config }: Walk, node: OnnxNode, index: number): Rotary {
  const cos = graph.weight(node, index, 'cos cache');
  const sin = graph.weight(node, index + 1, 'sin cache');
  const positions = cos.dims[0] ?? 0;
  for (const cache of [cos, sin]) assertDims(node, cache, [positions, config.headDim / 2]);
  return {
    kind: 'caches',
    cos: denseTensor(node, cos),
    sin: denseTensor(node, sin),
    positions,
    repeated: false,
  };
}

/** What lies before RotaryEmbedding and an RMSNorm over heads, both claimed where they are. */
function behindRotation(
  walk: Walk,
  attention: OnnxNode,
  tensor: string,
  rotatesItself: boolean,
): { tensor: string; rotary?: Rotary; norm?: DenseTensor } {
  const { graph, config } = walk;
  if (rotatesItself) return behindNorm(walk, tensor);
  const node = graph.producer(tensor);
  if (node === undefined || !isOp(node, 'RotaryEmbedding', MICROSOFT)) {
    throw unsupported(attention, `"${tensor}" is not rotated by position`);
  }
  const partial = numberAttribute(node, 'rotary_embedding_dim', 0);
  if (partial !== 0 && partial !== config.headDim) {
    throw unsupported(node, `it rotates ${partial} of ${config.headDim} values a head`);
  }
  if (numberAttribute(node, 'interleaved', 0) !== 0) {
    throw unsupported(node, 'it rotates neighbouring pairs instead of halves');
  }
  if (numberAttribute(node, 'scale', 1) !== 1) throw unsupported(node, 'it scales its output');
  claimPlumbing(graph, node.inputs[1] ?? '');
  graph.claim(node);
  return { ...behindNorm(walk, node.inputs[0] ?? ''), rotary: caches(walk, node, 2) };
}

/** Reshape to heads, RMSNorm, Reshape back. */
function behindNorm(walk: Walk, tensor: string): { tensor: string; norm?: DenseTensor } {
  const { graph, config } = walk;
  const back = graph.producer(tensor);
  if (back === undefined || !isOp(back, 'Reshape')) return { tensor };
  const normed = graph.producer(back.inputs[0] ?? '');
  const apart = normed && graph.producer(normed.inputs[0] ?? '');
  if (apart === undefined || !isOp(apart, 'Reshape')) return { tensor };
  const norm = readNormOf(walk, apart.outputs[0] ?? '', config.headDim);
  if (norm === undefined || norm.output !== back.inputs[0]) return { tensor };
  graph.claim(back);
  graph.claim(apart);
  return { tensor: apart.inputs[0] ?? '', norm: norm.weight };
}

/** The linear layer that made `tensor` from `input`. */
function linearBehind(
  { graph }: Walk,
  attention: OnnxNode,
  tensor: string,
  input: string,
  layer: number,
  role: string,
): Linear {
  let node = graph.producer(tensor);
  if (node && isOp(node, 'Add')) {
    node = node.inputs.map((name) => graph.producer(name)).find((one) => one && isLinearOp(one));
  }
  if (node === undefined || !isLinearOp(node)) {
    throw unsupported(attention, `"${tensor}" is not a plain projection`);
  }
  const site = readLinear(graph, node);
  if (site.input !== input || site.output !== tensor) {
    throw unsupported(node, `it does not project "${input}" to "${tensor}"`);
  }
  assertName(node, layer, role);
  return site.linear;
}
