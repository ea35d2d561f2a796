/**
 * Rotary embedding as primitives: x · cos + rotate_half(x) · sin, with cos and sin computed from
 * positions or gathered from tables by them.
 */
import { assertDims } from './checks';
import { assertCount, isOp, numberAttribute, unsupported } from './graph';
import type { Rotary } from '../decoder/model';
import type { OnnxNode } from './proto';
import type { TensorRef } from '../decoder/tensor';
import { MOST_COMPUTED_POSITIONS, ropeFrequencies } from '../decoder/rope';
import {
  claimPlumbing,
  denseTensor,
  isFloatCast,
  near,
  PLUMBING,
  scalarOperand,
  type Walk,
} from './walk';

/** Operators between positions and angles that only move values. */
const MOVES = ['Unsqueeze', 'Squeeze', 'Reshape', 'Expand', 'Transpose', 'Identity', 'Concat'];

/** What frequencies are computed with where they are not stored. */
const CONSTANT_MATHS = new Set([...PLUMBING, 'Pow', 'Reciprocal', 'Exp', 'Log']);

/** The rotation that ends in `sum`, claimed; undefined where it is none. */
export function readRotation(
  walk: Walk,
  sum: OnnxNode,
): { input: string; rotary: Rotary } | undefined {
  const { graph, config } = walk;
  const [a, b] = sum.inputs.map((name) => graph.producer(name));
  if (!a || !b || !isOp(a, 'Mul') || !isOp(b, 'Mul')) return undefined;
  for (const [straight, turned] of [
    [a, b],
    [b, a],
  ] as const) {
    const halves = turned.inputs.map((name) => graph.producer(name));
    const side = halves.findIndex((node) => node && isOp(node, 'Concat'));
    const concat = halves[side];
    const negate = concat && graph.producer(concat.inputs[0] ?? '');
    const low = concat && graph.producer(concat.inputs[1] ?? '');
    const high = negate && isOp(negate, 'Neg') ? graph.producer(negate.inputs[0] ?? '') : undefined;
    if (!concat || !negate || !low || !high) continue;
    const input = low.inputs[0] ?? '';
    const half = config.headDim / 2;
    const slices =
      isOp(low, 'Slice') &&
      isOp(high, 'Slice') &&
      high.inputs[0] === input &&
      graph.scalar(low.inputs[1] ?? '') === 0 &&
      graph.scalar(low.inputs[2] ?? '') === half &&
      graph.scalar(high.inputs[1] ?? '') === half &&
      numberAttribute(concat, 'axis', 0) === -1;
    if (!slices || !straight.inputs.includes(input)) {
      throw unsupported(concat, 'it does not swap the halves of a head');
    }
    const cos = straight.inputs[straight.inputs[0] === input ? 1 : 0] ?? '';
    const sin = turned.inputs[1 - side] ?? '';
    for (const node of [sum, straight, turned, concat, negate, low, high]) graph.claim(node);
    const cosine = readAngles(walk, cos, 'Cos', sum);
    const sine = readAngles(walk, sin, 'Sin', sum);
    return { input, rotary: joinAngles(walk, sum, cosine, sine) };
  }
  return undefined;
}

/** What cos or sin are made of: stored frequencies, or a table of their values. */
type Angles =
  /** Without `inverse` the graph computes its frequencies from constants. */
  | { kind: 'frequencies'; inverse: TensorRef | undefined; scale: number }
  | { kind: 'table'; data: TensorRef };

function joinAngles({ config }: Walk, sum: OnnxNode, cos: Angles, sin: Angles): Rotary {
  if (cos.kind === 'table' && sin.kind === 'table') {
    const positions = cos.data.dims[0] ?? 0;
    for (const { data } of [cos, sin]) assertDims(sum, data, [positions, config.headDim]);
    return {
      kind: 'caches',
      cos: denseTensor(sum, cos.data),
      sin: denseTensor(sum, sin.data),
      positions,
      repeated: true,
    };
  }
  const same =
    cos.kind === 'frequencies' &&
    sin.kind === 'frequencies' &&
    cos.inverse === sin.inverse &&
    cos.scale === sin.scale;
  if (!same) throw unsupported(sum, 'its cos and sin are of different angles');
  const scale = near(cos.scale, 1, 1e-6) ? 1 : cos.scale;
  const positions = Math.min(config.maxPositions, MOST_COMPUTED_POSITIONS);
  if (cos.inverse === undefined) {
    return { kind: 'computed', inverse: ropeFrequencies(config), scale, positions };
  }
  const half = config.headDim / 2;
  assertCount(sum, cos.inverse, half, `[${half}]`);
  return { kind: 'frequencies', inverse: denseTensor(sum, cos.inverse), scale, positions };
}

/** cos or sin of position · inverse frequency, both halves of a head alike, times a constant. */
function readAngles(walk: Walk, tensor: string, opType: 'Cos' | 'Sin', end: OnnxNode): Angles {
  const { graph } = walk;
  let at = tensor;
  let scale = 1;
  let node: OnnxNode | undefined;
  for (node = graph.producer(at); node && !isOp(node, opType); node = graph.producer(at)) {
    graph.claim(node);
    if (isOp(node, 'Gather')) return { kind: 'table', data: readTable(walk, node) };
    const operand = isOp(node, 'Mul') ? scalarOperand(graph, node) : undefined;
    if (operand) scale *= operand.value;
    else if (!isFloatCast(node) && !isOp(node, 'Unsqueeze')) {
      throw unsupported(node, `it is not expected between ${opType} and the rotation`);
    }
    at = operand?.other ?? node.inputs[0] ?? '';
  }
  if (node === undefined) throw unsupported(end, `"${tensor}" is no ${opType} of an angle`);
  graph.claim(node);
  return { kind: 'frequencies', inverse: findFrequencies(walk, node), scale };
}

/** The table whose rows positions choose, also behind a cut to as many rows as there are. */
function readTable({ graph }: Walk, gather: OnnxNode): TensorRef {
  if (numberAttribute(gather, 'axis', 0) !== 0) throw unsupported(gather, 'it gathers no rows');
  claimPlumbing(graph, gather.inputs[1] ?? '');
  let at = gather.inputs[0] ?? '';
  for (;;) {
    const stored = graph.constant(at);
    if (stored) return stored;
    const node = graph.producer(at);
    const cut = node && isOp(node, 'Slice') && graph.scalar(node.inputs[1] ?? '') === 0;
    if (node === undefined || !(cut || isFloatCast(node))) {
      throw unsupported(node ?? gather, 'its table of angles is not stored in the file');
    }
    if (cut && graph.scalar(node.inputs[3] ?? '') !== 0) {
      throw unsupported(node, 'it cuts other rows than the first');
    }
    graph.claim(node);
    for (const bound of node.inputs.slice(1)) claimPlumbing(graph, bound);
    at = node.inputs[0] ?? '';
  }
}

/**
 * The inverse frequencies in the product with positions behind `trigonometric`; undefined where they
 * are not stored but computed from constants, which is claimed.
 */
function findFrequencies({ graph }: Walk, trigonometric: OnnxNode): TensorRef | undefined {
  let at = trigonometric.inputs[0] ?? '';
  for (;;) {
    const node = graph.producer(at);
    if (node && (isFloatCast(node) || MOVES.some((op) => isOp(node, op)))) {
      graph.claim(node);
      const sources = isOp(node, 'Concat') ? new Set(node.inputs) : new Set([node.inputs[0]]);
      if (sources.size !== 1) throw unsupported(node, 'it joins different angles');
      if (!isOp(node, 'Concat')) {
        for (const shape of node.inputs.slice(1)) claimPlumbing(graph, shape);
      }
      at = node.inputs[0] ?? '';
      continue;
    }
    if (node === undefined || !(isOp(node, 'MatMul') || isOp(node, 'Mul'))) {
      throw unsupported(node ?? trigonometric, 'angles are no product of positions and constants');
    }
    graph.claim(node);
    for (const [index, name] of node.inputs.entries()) {
      const stored = storedBehind({ graph }, name);
      if (stored === undefined) continue;
      claimPlumbing(graph, node.inputs[1 - index] ?? '');
      return stored;
    }
    const computed = node.inputs.findIndex((name) => graph.dependsOnConstants(name));
    if (computed < 0) throw unsupported(node, 'its frequencies are neither stored nor constant');
    graph.claimPlumbing(node.inputs[computed] ?? '', CONSTANT_MATHS, () => false);
    claimPlumbing(graph, node.inputs[1 - computed] ?? '');
    return undefined;
  }
}

/** A stored tensor, also behind operators that only repeat it. */
function storedBehind({ graph }: Pick<Walk, 'graph'>, tensor: string) {
  const moved: OnnxNode[] = [];
  let at = tensor;
  for (;;) {
    const stored = graph.constant(at);
    if (stored) {
      for (const node of moved) {
        graph.claim(node);
        for (const shape of node.inputs.slice(1)) claimPlumbing(graph, shape);
      }
      return stored;
    }
    const node = graph.producer(at);
    if (node === undefined || !(isFloatCast(node) || MOVES.some((op) => isOp(node, op)))) {
      return undefined;
    }
    moved.push(node);
    at = node.inputs[0] ?? '';
  }
}
