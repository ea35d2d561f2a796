/**
 * A 4-bit table that is read by ordinary operators, as tools/site-models writes it where a runtime
 * lacks GatherBlockQuantized:
 *
 *   row = reshape((nibbles(table[ids]) − 8) · scales[ids]),   table [rows, blocks, bytes] uint8
 *
 * with the low nibble of a byte before the high one. The same tensors as a MatMulNBits head's.
 */
import { assertDims } from './checks';
import { OnnxType } from './data-type';
import { type Graph, isOp, numberAttribute, unsupported } from './graph';
import type { Int4Linear } from '../decoder/linear';
import { int4Table } from './linear';
import type { OnnxNode } from './proto';
import { otherInput, scalarOperand } from './walk';

/** The nodes that gather rows of the packed table, and of its scales. */
export interface Gathers {
  table: OnnxNode;
  scales: OnnxNode;
}

/** Are these the two gathers of a packed table and of its scales? */
export function findUnpackedRows(graph: Graph, gathers: readonly OnnxNode[]): Gathers | undefined {
  if (gathers.length !== 2 || !gathers.every((node) => isOp(node, 'Gather'))) return undefined;
  const isPacked = (node: OnnxNode) => graph.constant(node.inputs[0] ?? '')?.dataType === 'uint8';
  const table = gathers.find(isPacked);
  const scales = gathers.find((node) => node !== table);
  return table && scales && { table, scales };
}

/**
 * The table behind the two gathers, [rows, dim], and the name of what comes out. Claims all of it.
 * @throws UnsupportedModelError naming the operator that does something else
 */
export function readUnpackedRows(
  graph: Graph,
  { table, scales }: Gathers,
  rows: number,
  dim: number,
): { table: Int4Linear; output: string } {
  const step = new Steps(graph);
  for (const node of [table, scales]) {
    if (numberAttribute(node, 'axis', 0) !== 0) throw unsupported(node, 'it gathers no rows');
    graph.claim(node);
  }
  const data = graph.weight(table, 0, 'embedding');
  const factors = graph.weight(scales, 0, 'scales');
  const [, blocks = 0, half = 0] = data.dims;
  assertDims(table, data, [rows, blocks, half]);
  assertDims(scales, factors, [rows, blocks]);
  if (blocks * half * 2 !== dim) throw unsupported(table, `its rows are not ${dim} wide`);

  const [low, high] = step.halves(table);
  const pairs = step.pair(low, high);
  const levels = step.reshaped(pairs, [blocks, 2 * half]);
  const values = step.only(levels, 'Cast');
  if (numberAttribute(values, 'to', 0) !== OnnxType.float32) {
    throw unsupported(values, 'it casts levels to no float32');
  }
  const centred = step.only(values.outputs[0] ?? '', 'Sub');
  const zero = scalarOperand(graph, centred);
  if (zero?.value !== 8 || centred.inputs[0] !== values.outputs[0]) {
    throw unsupported(centred, 'it does not take 8 from the levels');
  }
  const column = step.column(scales.outputs[0] ?? '');
  const scaled = step.only(centred.outputs[0] ?? '', 'Mul');
  if (otherInput(scaled, centred.outputs[0] ?? '') !== column) {
    throw unsupported(scaled, 'it does not multiply levels by their scales');
  }
  const output = step.reshaped(scaled.outputs[0] ?? '', [dim]);
  const linear = int4Table(table, { rows, dim, blockSize: 2 * half, data, scales: factors });
  return { table: linear, output };
}

/** Steps along tensors that only one node reads, each claimed as it is understood. */
class Steps {
  constructor(private readonly graph: Graph) {}

  /** The one reader of a tensor, which must be of this kind. */
  only(tensor: string, opType: string): OnnxNode {
    const [node, ...others] = this.graph.consumers(tensor);
    if (node === undefined || others.length > 0 || !isOp(node, opType)) {
      const found = node ?? this.graph.producer(tensor)!;
      throw unsupported(found, `a ${opType} was expected where a packed table is read`);
    }
    this.graph.claim(node);
    return node;
  }

  /** Low and high nibbles of the gathered bytes. */
  halves(gather: OnnxNode): [low: string, high: string] {
    const packed = gather.outputs[0] ?? '';
    const readers = this.graph.consumers(packed);
    const low = readers.find((node) => isOp(node, 'BitwiseAnd'));
    const high = readers.find((node) => isOp(node, 'BitShift'));
    if (!low || !high || readers.length !== 2) {
      throw unsupported(gather, 'its bytes are not split into nibbles');
    }
    if (this.graph.scalar(otherInput(low, packed)) !== 15) {
      throw unsupported(low, 'it does not take the low four bits');
    }
    const direction = high.attributes.get('direction');
    const right = direction?.kind === 'string' && direction.value === 'RIGHT';
    if (!right || high.inputs[0] !== packed || this.graph.scalar(high.inputs[1] ?? '') !== 4) {
      throw unsupported(high, 'it does not take the high four bits');
    }
    this.graph.claim(low);
    this.graph.claim(high);
    return [low.outputs[0] ?? '', high.outputs[0] ?? ''];
  }

  /** [..., n] as [..., n, 1]. */
  column(tensor: string): string {
    const node = this.only(tensor, 'Unsqueeze');
    if (this.graph.scalar(node.inputs[1] ?? '') !== -1) {
      throw unsupported(node, 'it adds no last axis');
    }
    return node.outputs[0] ?? '';
  }

  /** Low before high, side by side on a new last axis. */
  pair(low: string, high: string): string {
    const columns = [this.column(low), this.column(high)];
    const node = this.only(columns[0]!, 'Concat');
    const ordered = node.inputs.length === 2 && node.inputs.every((name, i) => name === columns[i]);
    if (!ordered || numberAttribute(node, 'axis', 0) !== -1) {
      throw unsupported(node, 'it does not put high nibbles behind low ones');
    }
    return node.outputs[0] ?? '';
  }

  /** Keeps the two axes of the ids and gives the rest these lengths. */
  reshaped(tensor: string, lengths: readonly number[]): string {
    const node = this.only(tensor, 'Reshape');
    const shape = this.graph.integers(node.inputs[1] ?? '');
    const wanted = [0, 0, ...lengths];
    if (shape?.length !== wanted.length || shape.some((length, i) => length !== wanted[i])) {
      throw unsupported(node, `it does not give rows the shape [${lengths.join(', ')}]`);
    }
    return node.outputs[0] ?? '';
  }
}
