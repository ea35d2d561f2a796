import { assertCount, type Graph, isOp, MICROSOFT, numberAttribute, unsupported } from './graph';
import type { DenseLinear, Int4Linear, Linear } from '../decoder/linear';
import type { OnnxNode } from './proto';
import { elementCount, padRows, sliceRows, type TensorRef } from '../decoder/tensor';

/** A linear layer in the graph and the tensors at its two ends. */
export interface LinearSite {
  linear: Linear;
  input: string;
  output: string;
}

/** 'f32' or 'f16'; other types are refused. */
export function floatType(node: OnnxNode, ref: TensorRef): 'f32' | 'f16' {
  if (ref.dataType === 'float32') return 'f32';
  if (ref.dataType === 'float16') return 'f16';
  throw unsupported(node, `its tensor "${ref.name}" has data type ${ref.dataType}`);
}

export function isLinearOp(node: OnnxNode): boolean {
  return isOp(node, 'MatMulNBits', MICROSOFT) || isOp(node, 'MatMul');
}

/** Reads and claims the linear layer that starts at `node`, with an Add of a stored bias if any. */
export function readLinear(graph: Graph, node: OnnxNode): LinearSite {
  const linear = isOp(node, 'MatMulNBits', MICROSOFT)
    ? readInt4(graph, node)
    : readDense(graph, node);
  graph.claim(node);
  const input = node.inputs[0] ?? '';
  const output = node.outputs[0] ?? '';
  const [next, ...others] = graph.consumers(output);
  if (next === undefined || others.length > 0 || !isOp(next, 'Add')) {
    return { linear, input, output };
  }
  const biasName = next.inputs[0] === output ? next.inputs[1] : next.inputs[0];
  const bias = graph.constant(biasName ?? '');
  // Adding a computed tensor is a residual connection, which is not the layer's own.
  if (bias === undefined) return { linear, input, output };
  if (linear.bias) throw unsupported(next, 'it adds a second bias');
  assertCount(next, bias, linear.outFeatures, `[${linear.outFeatures}]`);
  floatType(next, bias);
  graph.claim(next);
  return { linear: { ...linear, bias }, input, output: next.outputs[0] ?? '' };
}

function readInt4(graph: Graph, node: OnnxNode): Int4Linear {
  const outFeatures = numberAttribute(node, 'N', 0);
  const inFeatures = numberAttribute(node, 'K', 0);
  const blockSize = numberAttribute(node, 'block_size', 0);
  const bits = numberAttribute(node, 'bits', 4);
  if (bits !== 4) throw unsupported(node, `it has ${bits}-bit weights; 4 bits are readable`);
  if (![outFeatures, inFeatures].every((size) => Number.isInteger(size) && size > 0)) {
    throw unsupported(node, `its sizes are N = ${outFeatures}, K = ${inFeatures}`);
  }
  assertBlockSize(node, blockSize, inFeatures);
  const blocks = Math.ceil(inFeatures / blockSize);
  const data = graph.weight(node, 1, 'weight');
  assertBytes(node, data);
  assertRows(node, data, [outFeatures, blocks, blockSize / 2]);
  const scales = graph.weight(node, 2, 'scales');
  floatType(node, scales);
  assertRows(node, scales, [outFeatures, blocks]);
  const linear: Int4Linear = {
    kind: 'int4',
    outFeatures,
    inFeatures,
    blockSize,
    data,
    scales,
    accuracyLevel: numberAttribute(node, 'accuracy_level', 0),
  };
  if (node.inputs[3]) {
    linear.zeroPoints = readZeroPoints(graph, node, outFeatures, blocks);
  }
  if (node.inputs[4]) throw unsupported(node, 'it reorders its inputs (g_idx)');
  if (node.inputs[5]) {
    linear.bias = graph.weight(node, 5, 'bias');
    assertCount(node, linear.bias, outFeatures, `[${outFeatures}]`);
    floatType(node, linear.bias);
  }
  return linear;
}

function readDense(graph: Graph, node: OnnxNode): DenseLinear {
  const name = node.inputs[1] ?? '';
  const transpose = graph.producer(name);
  const transposed = transpose !== undefined && isOp(transpose, 'Transpose');
  const data = transposed ? graph.weight(transpose, 0, 'weight') : graph.weight(node, 1, 'weight');
  if (transposed) {
    const perm = transpose.attributes.get('perm');
    const swaps = perm === undefined || (perm.kind === 'ints' && perm.value.join() === '1,0');
    if (!swaps) throw unsupported(transpose, 'its permutation is no transpose of a matrix');
    graph.claim(transpose);
  }
  const [first, second] = data.dims;
  if (first === undefined || second === undefined || data.dims.length !== 2) {
    throw unsupported(node, `its weight "${data.name}" is [${data.dims.join(', ')}], no matrix`);
  }
  return {
    kind: 'dense',
    layout: transposed ? 'out_in' : 'in_out',
    outFeatures: transposed ? first : second,
    inFeatures: transposed ? second : first,
    dtype: floatType(node, data),
    data,
  };
}

/** uint8 zero points, two a byte; runtimes also read one float for each block. */
function readZeroPoints(graph: Graph, node: OnnxNode, rows: number, blocks: number): TensorRef {
  const zeroPoints = graph.weight(node, 3, 'zero points');
  assertBytes(node, zeroPoints);
  assertRows(node, zeroPoints, [rows, Math.ceil(blocks / 2)]);
  return zeroPoints;
}

/** Quantisers fill up rows that are shorter than their usual blocks. */
const USUAL_BLOCK = 256;

/** Kernels have a scale for every 32 inputs: longer blocks repeat theirs, shorter ones cannot. */
function assertBlockSize(node: OnnxNode, blockSize: number, inputs: number): void {
  if (blockSize < 32 || !Number.isInteger(Math.log2(blockSize))) {
    throw unsupported(
      node,
      `it is quantised in blocks of ${blockSize}; powers of two from 32 can be trained`,
    );
  }
  // The last block is filled up with zeros in memory, so it must not be longer than all before it.
  if (blockSize > USUAL_BLOCK && blockSize >= 2 * inputs) {
    throw unsupported(node, `it is quantised in blocks of ${blockSize}, of ${inputs} inputs`);
  }
}

/** Refuses another shape than `dims`, whose rows may also lie in one or two dimensions. */
function assertRows(node: OnnxNode, ref: TensorRef, dims: readonly number[]): void {
  const shape = `[${dims.join(', ')}]`;
  assertCount(node, ref, elementCount(dims), shape);
  // Equal counts with other rows, such as a transposed tensor, would be read as noise.
  if (ref.dims.length > 1 && ref.dims[0] !== dims[0]) assertCount(node, ref, -1, shape);
}

function assertBytes(node: OnnxNode, ref: TensorRef): void {
  if (ref.dataType !== 'uint8') {
    throw unsupported(node, `its tensor "${ref.name}" has data type ${ref.dataType}, not uint8`);
  }
}

/**
 * Output rows [start, start + count) of a layer as a layer of its own: a view into the same bytes.
 * This is how a packed q | k | v projection becomes three.
 */
export function sliceOutputs(node: OnnxNode, linear: Linear, start: number, count: number): Linear {
  const rows = linear.outFeatures;
  const cut = (ref: TensorRef): TensorRef => sliceRows(ref, rows, start, count);
  const bias = linear.bias ? { bias: cut(linear.bias) } : {};
  if (linear.kind === 'int4') {
    const zeroPoints = linear.zeroPoints ? { zeroPoints: cut(linear.zeroPoints) } : {};
    return {
      ...linear,
      outFeatures: count,
      data: cut(linear.data),
      scales: cut(linear.scales),
      ...zeroPoints,
      ...bias,
    };
  }
  if (linear.layout === 'in_out') {
    throw unsupported(node, 'it is a packed projection in an unquantised layout');
  }
  return { ...linear, outFeatures: count, data: cut(linear.data), ...bias };
}

/** Output rows up to `count`, whose weights and bias are zero. */
export function padOutputs(node: OnnxNode, linear: Linear, count: number): Linear {
  const { outFeatures } = linear;
  if (outFeatures === count) return linear;
  const pad = (ref: TensorRef): TensorRef => padRows(ref, outFeatures, count);
  const bias = linear.bias ? { bias: pad(linear.bias) } : {};
  if (linear.kind === 'int4') {
    // Scales of zero make zeros of whatever the levels are.
    const zeroPoints = linear.zeroPoints ? { zeroPoints: pad(linear.zeroPoints) } : {};
    const { data, scales } = linear;
    const tensors = { data: pad(data), scales: pad(scales), ...zeroPoints, ...bias };
    return { ...linear, outFeatures: count, ...tensors };
  }
  if (linear.layout === 'in_out') {
    throw unsupported(node, `it has ${outFeatures} outputs, which do not fill blocks of weights`);
  }
  return { ...linear, outFeatures: count, data: pad(linear.data), ...bias };
}

/** Inputs that a layer reads when the last block of every row counts as full. */
export function blockInputs(linear: Linear): number {
  if (linear.kind === 'dense') return linear.inFeatures;
  return Math.ceil(linear.inFeatures / linear.blockSize) * linear.blockSize;
}

/** The table of a GatherBlockQuantized embedding, [rows, dim]. */
export function readInt4Rows(graph: Graph, node: OnnxNode, rows: number, dim: number): Int4Linear {
  const blockSize = numberAttribute(node, 'block_size', 128);
  const plain =
    numberAttribute(node, 'bits', 4) === 4 &&
    numberAttribute(node, 'gather_axis', 0) === 0 &&
    numberAttribute(node, 'quantize_axis', 1) === 1;
  const data = graph.weight(node, 0, 'embedding');
  if (!plain || data.dataType !== 'uint8') {
    throw unsupported(node, 'its table is not packed as 4-bit rows');
  }
  const scales = graph.weight(node, 2, 'scales');
  const table = int4Table(node, { rows, dim, blockSize, data, scales });
  if (node.inputs[3]) {
    table.zeroPoints = readZeroPoints(graph, node, rows, dim / blockSize);
  }
  return table;
}

/** A packed table by its tensors: uint8 [rows, dim / 2] and scales [rows, dim / blockSize]. */
export function int4Table(
  node: OnnxNode,
  {
    rows,
    dim,
    blockSize,
    data,
    scales,
  }: Pick<Int4Linear, 'blockSize' | 'data' | 'scales'> & {
    rows: number;
    dim: number;
  },
): Int4Linear {
  assertBlockSize(node, blockSize, dim);
  if (dim % blockSize !== 0) {
    throw unsupported(node, `its rows of ${dim} do not fill blocks of ${blockSize}`);
  }
  assertRows(node, data, [rows, dim / 2]);
  floatType(node, scales);
  assertRows(node, scales, [rows, dim / blockSize]);
  const sizes = { outFeatures: rows, inFeatures: dim, blockSize };
  return { kind: 'int4', ...sizes, data, scales, accuracyLevel: 0 };
}
