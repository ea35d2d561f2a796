/**
 * What can be trained beside the frozen model, and where each of its values lies (METHOD.md §6): a
 * soft prompt in front of every sequence, LoRA beside linear layers, or steering vectors on the
 * residual stream. Pure: the planner counts by these numbers and the trainables allocate by them.
 */
import type { DecoderConfig } from '../../formats/decoder/config';

/** Vectors in front of every prompt, in the place of token embeddings. */
export interface SoftPromptShape {
  kind: 'soft-prompt';
  /** Vectors, 1 to {@link MAX_VIRTUAL_TOKENS}. */
  n: number;
}

/** Linear layers that LoRA can stand beside. */
export type LoraTarget = 'q' | 'k' | 'v' | 'o' | 'gate' | 'up' | 'down';

/** y = W x + (alpha / rank) · B A x on the targets of every layer. */
export interface LoraShape {
  kind: 'lora';
  rank: number;
  alpha: number;
  targets: readonly LoraTarget[];
}

/** h ← h + v on the residual stream behind each of `layers`, counted from 0. */
export interface SteeringShape {
  kind: 'steering';
  layers: readonly number[];
}

/** What changes the model inside. */
export type AdapterShape = LoraShape | SteeringShape;

export type TrainableShape = SoftPromptShape | AdapterShape;

/** How far down gradients are wanted: to a soft prompt's rows, or to the layers from `lowest` up. */
export type GradientReach = { to: 'prefix' } | { to: 'layers'; lowest: number };

/** What training a shape takes, in floats. */
export interface TrainableSize {
  /** Of all values, gaps included. */
  length: number;
  /** The values are rows of so many floats, when gradients add up. */
  rowWidth: number;
  /** Rows in front of every pass. */
  prefixRows: number;
  /** Of a gradient buffer of its own; 0 where the gradient lies in that of the residual stream. */
  gradient: number;
  /** Of each packed row, for what its gradients need besides. */
  perRow: number;
  reach: GradientReach;
}

/** Longest soft prompt. */
export const MAX_VIRTUAL_TOKENS = 256;

/** A thin matrix [rows, width] of an adapter: LoRA's A [rank, in] or, transposed, B [rank, out]; v [1, dim]. */
export interface AdapterSlice {
  layer: number;
  part: 'a' | 'b' | 'v';
  target: LoraTarget | null;
  /** Of its first value, in floats, among all values of the adapter. */
  offset: number;
  rows: number;
  width: number;
}

export interface AdapterLayout {
  slices: readonly AdapterSlice[];
  /** Length of all values, gaps included, which hold zeros. */
  length: number;
  /** Values that are trained. */
  count: number;
}

const TARGETS = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const satisfies readonly LoraTarget[];

/** Matrices begin at multiples of this many floats, 256 bytes: what a device can bind. */
export const SLICE_FLOATS = 64;

/** Inputs and outputs of a target. */
export function targetSize(
  target: LoraTarget,
  { dim, heads, kvHeads, headDim, ffnDim }: DecoderConfig,
): readonly [inFeatures: number, outFeatures: number] {
  switch (target) {
    case 'q':
      return [dim, heads * headDim];
    case 'k':
    case 'v':
      return [dim, kvHeads * headDim];
    case 'o':
      return [heads * headDim, dim];
    case 'gate':
    case 'up':
      return [dim, ffnDim];
    case 'down':
      return [ffnDim, dim];
  }
}

/** @throws RangeError on a shape that this decoder cannot have. */
export function adapterLayout(shape: AdapterShape, config: DecoderConfig): AdapterLayout {
  const slices: AdapterSlice[] = [];
  let length = 0;
  let count = 0;
  for (const matrix of matricesOf(shape, config)) {
    slices.push({ ...matrix, offset: length });
    count += matrix.rows * matrix.width;
    length += Math.ceil((matrix.rows * matrix.width) / SLICE_FLOATS) * SLICE_FLOATS;
  }
  return { slices, length, count };
}

type Matrix = Omit<AdapterSlice, 'offset'>;

function matricesOf(shape: AdapterShape, config: DecoderConfig): Matrix[] {
  switch (shape.kind) {
    case 'lora':
      return loraMatrices(shape, config);
    case 'steering':
      return steeringVectors(shape, config);
  }
}

function loraMatrices(
  { rank, alpha, targets: wanted }: LoraShape,
  config: DecoderConfig,
): Matrix[] {
  const targets = TARGETS.filter((target) => wanted.includes(target));
  const room = Math.min(...targets.flatMap((target) => targetSize(target, config)));
  if (targets.length === 0) throw new RangeError('LoRA needs at least one target.');
  if (!Number.isInteger(rank) || rank < 1 || rank > room) {
    throw new RangeError(`A LoRA rank from 1 to ${room} is possible here, not ${rank}.`);
  }
  if (!(alpha > 0) || !Number.isFinite(alpha)) throw new RangeError(`alpha is ${alpha}.`);
  const layers = Array.from({ length: config.layers }, (_, layer) => layer);
  return layers.flatMap((layer) =>
    targets.flatMap((target): Matrix[] => {
      const [inFeatures, outFeatures] = targetSize(target, config);
      return [
        { layer, part: 'a', target, rows: rank, width: inFeatures },
        { layer, part: 'b', target, rows: rank, width: outFeatures },
      ];
    }),
  );
}

function steeringVectors(shape: SteeringShape, { layers: depth, dim }: DecoderConfig): Matrix[] {
  const layers = [...new Set(shape.layers)].sort((a, b) => a - b);
  const strange = layers.find((l) => !(Number.isInteger(l) && l >= 0 && l < depth));
  if (layers.length === 0 || strange !== undefined) {
    throw new RangeError(`Steering needs layers from 0 to ${depth - 1}.`);
  }
  return layers.map((layer) => ({ layer, part: 'v', target: null, rows: 1, width: dim }));
}

/** @throws RangeError on a shape that this decoder cannot have. */
export function trainableSize(shape: TrainableShape, config: DecoderConfig): TrainableSize {
  switch (shape.kind) {
    case 'soft-prompt': {
      const { n } = shape;
      if (!(Number.isInteger(n) && n >= 1 && n <= MAX_VIRTUAL_TOKENS)) {
        throw new RangeError(`A soft prompt has 1 to ${MAX_VIRTUAL_TOKENS} vectors, not ${n}.`);
      }
      const { dim } = config;
      const own = { gradient: 0, perRow: 0, reach: { to: 'prefix' } } as const;
      return { length: n * dim, rowWidth: dim, prefixRows: n, ...own };
    }
    case 'lora': {
      const inside = sizeInside(adapterLayout(shape, config));
      // The widest input of an adapted layer, and h and g of low-rank.wgsl.
      const widest = Math.max(...shape.targets.map((target) => targetSize(target, config)[0]));
      return { ...inside, perRow: widest + 2 * shape.rank, reach: { to: 'layers', lowest: 0 } };
    }
    case 'steering': {
      const layout = adapterLayout(shape, config);
      // A vector stands behind its layer, whose own inside it does not ask about.
      const reach = { to: 'layers', lowest: layout.slices[0]!.layer + 1 } as const;
      return { ...sizeInside(layout), perRow: 1, reach };
    }
  }
}

function sizeInside({ length }: AdapterLayout) {
  return { length, rowWidth: SLICE_FLOATS, prefixRows: 0, gradient: length };
}

/** What a person can lower to make it smaller; null where there is nothing. */
export function smallerBy(shape: TrainableShape): string | null {
  switch (shape.kind) {
    case 'soft-prompt':
      return `the soft prompt (${shape.n} vectors)`;
    case 'lora':
      return `LoRA’s rank (${shape.rank})`;
    case 'steering':
      return null;
  }
}
