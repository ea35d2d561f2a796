/** What the parts of the decoder walk share: the graph, the configuration, steps along tensors. */
import type { DecoderConfig } from '../decoder/config';
import { type Graph, isOp, numberAttribute, unsupported } from './graph';
import { floatType } from './linear';
import type { DenseTensor } from '../decoder/model';
import type { OnnxNode } from './proto';
import type { TensorRef } from '../decoder/tensor';
import { OnnxType } from './data-type';

export interface Walk {
  readonly graph: Graph;
  readonly config: DecoderConfig;
}

/** Operators that compute masks, positions and shapes from lengths and other masks. */
export const PLUMBING: ReadonlySet<string> = new Set(
  [
    ['Shape', 'Constant', 'ConstantOfShape', 'Cast', 'Identity', 'Range', 'CumSum', 'ReduceSum'],
    ['Gather', 'GatherND', 'Slice', 'Concat', 'Squeeze', 'Unsqueeze', 'Reshape', 'Flatten'],
    ['Expand', 'Tile', 'Transpose', 'Trilu', 'ScatterND', 'Where', 'Not', 'And', 'Or'],
    ['Equal', 'Less', 'LessOrEqual', 'Greater', 'GreaterOrEqual'],
    ['Add', 'Sub', 'Mul', 'Div', 'Neg', 'Min', 'Max', 'Mod'],
  ].flat(),
);

/** Claims what a mask or a position is made of. */
export function claimPlumbing(graph: Graph, tensor: string): void {
  graph.claimPlumbing(
    tensor,
    PLUMBING,
    (input) =>
      input === 'attention_mask' ||
      input === 'position_ids' ||
      input === 'input_ids' ||
      input.startsWith('past_key_values.'),
  );
}

export function isFloatCast(node: OnnxNode): boolean {
  if (!isOp(node, 'Cast')) return false;
  const to = numberAttribute(node, 'to', 0);
  return to === OnnxType.float32 || to === OnnxType.float16;
}

/** Follows a tensor through float casts that only widen or narrow it. */
export function throughCasts(graph: Graph, tensor: string): string {
  for (let at = tensor; ;) {
    const [node, ...others] = valueReaders(graph, at);
    if (node === undefined || others.length > 0 || !isOp(node, 'Cast')) return at;
    if (!isFloatCast(node)) throw unsupported(node, 'it casts activations to no float type');
    graph.claim(node);
    at = node.outputs[0] ?? '';
  }
}

/** Nodes that read a tensor's values: not those that only ask for its shape. */
export function valueReaders(graph: Graph, tensor: string): OnnxNode[] {
  return graph.consumers(tensor).filter((node) => !isOp(node, 'Shape'));
}

/** A tensor as such or behind float casts. */
export interface CastView {
  name: string;
  /** The cast that made it, and of what. */
  cast?: { node: OnnxNode; of: CastView };
}

/** The tensor and its float casts. */
export function castViews(graph: Graph, tensor: string): CastView[] {
  const views: CastView[] = [{ name: tensor }];
  for (const of of views) {
    for (const node of graph.consumers(of.name)) {
      if (isFloatCast(node)) views.push({ name: node.outputs[0] ?? '', cast: { node, of } });
    }
  }
  return views;
}

/** Claims the casts that lead to a view. */
export function claimCasts(graph: Graph, view: CastView): void {
  for (let { cast } = view; cast && !graph.isClaimed(cast.node); { cast } = cast.of) {
    graph.claim(cast.node);
  }
}

/** The other operand of a node of two. */
export function otherInput(node: OnnxNode, tensor: string): string {
  return (node.inputs[0] === tensor ? node.inputs[1] : node.inputs[0]) ?? '';
}

/** A node's one-element constant and its other operand. */
export function scalarOperand(
  graph: Graph,
  node: OnnxNode,
): { value: number; other: string } | undefined {
  for (const index of [0, 1]) {
    const value = graph.scalar(node.inputs[index] ?? '');
    if (value !== undefined) return { value, other: node.inputs[1 - index] ?? '' };
  }
  return undefined;
}

/** Relative equality as far as float32, or float16 for half the constants of an f16 file, goes. */
export function near(value: number | undefined, expected: number, tolerance = 1e-3): boolean {
  return value !== undefined && Math.abs(value - expected) <= tolerance * Math.abs(expected);
}

export function denseTensor(node: OnnxNode, data: TensorRef): DenseTensor {
  return { dtype: floatType(node, data), data };
}
