/**
 * What each adapter does to the toy student of testing.ts: a vector g [width] that is linear in a
 * soft prompt and in steering vectors, and bilinear in LoRA's matrices, with exact gradients.
 */
import {
  adapterLayout,
  type AdapterShape,
  type AdapterSlice,
  type TrainableShape,
} from '../../engine/trainable/shape';
import type { AdapterValues } from '../../engine/types';
import type { DecoderConfig } from '../../formats/decoder/config';

/** A soft prompt [n, width], an adapter, or nothing. */
export type ToyAdaptation = Float32Array | AdapterValues | null;

/** A decoder whose layers are all as wide as the toy's vocabulary. */
export function toyConfig(width: number): DecoderConfig {
  return {
    architecture: 'llama',
    layers: 2,
    dim: width,
    heads: 1,
    kvHeads: 1,
    headDim: width,
    ffnDim: width,
    vocabSize: width,
    normEps: 1e-5,
    maxPositions: 64,
    activation: 'silu',
    qkNorm: false,
    outputNorms: false,
    attentionScale: 1,
    attentionSoftCap: null,
    logitSoftCap: null,
    embeddingScale: 1,
    windows: [null, null],
  };
}

/** Weight of vector j of n in g; different for each, so that order matters. */
function share(j: number, n: number): number {
  return (2 * (j + 1)) / (n * (n + 1));
}

/** A and B of each target, in pairs. */
function pairs(shape: AdapterShape, width: number): [AdapterSlice, AdapterSlice][] {
  const { slices } = adapterLayout(shape, toyConfig(width));
  return slices
    .filter(({ part }) => part === 'a')
    .map((a) => {
      const isB = (s: AdapterSlice) =>
        s.part === 'b' && s.layer === a.layer && s.target === a.target;
      return [a, slices.find(isB)!];
    });
}

function scaleOf(shape: AdapterShape): number {
  return shape.kind === 'lora' ? shape.alpha / shape.rank : 1;
}

/** Row r of A times a vector of ones, over √width. */
function down(values: Float32Array, { offset, width }: AdapterSlice, r: number): number {
  const row = values.subarray(offset + r * width, offset + (r + 1) * width);
  return row.reduce((sum, value) => sum + value, 0) / Math.sqrt(width);
}

export function effect(adaptation: Float32Array | AdapterValues, width: number): number[] {
  const g = new Array<number>(width).fill(0);
  if (adaptation instanceof Float32Array) {
    const n = adaptation.length / width;
    adaptation.forEach((value, i) => (g[i % width]! += share(Math.floor(i / width), n) * value));
    return g;
  }
  const { shape, values } = adaptation;
  if (shape.kind === 'steering') {
    for (const { offset } of adapterLayout(shape, toyConfig(width)).slices) {
      for (let d = 0; d < width; d++) g[d]! += values[offset + d]!;
    }
    return g;
  }
  for (const [a, b] of pairs(shape, width)) {
    for (let r = 0; r < a.rows; r++) {
      const inner = scaleOf(shape) * down(values, a, r);
      for (let d = 0; d < width; d++) g[d]! += inner * values[b.offset + r * width + d]!;
    }
  }
  return g;
}

/** Gradient in the values, from that in g. */
export function effectBackward(
  shape: TrainableShape,
  values: Float32Array,
  dg: readonly number[],
): number[] {
  const width = dg.length;
  if (shape.kind === 'soft-prompt') {
    const n = values.length / width;
    return Array.from(values, (_, i) => dg[i % width]! * share(Math.floor(i / width), n));
  }
  const gradient = new Array<number>(values.length).fill(0);
  if (shape.kind === 'steering') {
    for (const { offset } of adapterLayout(shape, toyConfig(width)).slices) {
      for (let d = 0; d < width; d++) gradient[offset + d] = dg[d]!;
    }
    return gradient;
  }
  const scale = scaleOf(shape);
  for (const [a, b] of pairs(shape, width)) {
    for (let r = 0; r < a.rows; r++) {
      const inner = down(values, a, r);
      let along = 0;
      for (let d = 0; d < width; d++) {
        along += dg[d]! * values[b.offset + r * width + d]!;
        gradient[b.offset + r * width + d] = scale * inner * dg[d]!;
      }
      for (let i = 0; i < a.width; i++) {
        gradient[a.offset + r * a.width + i] = (scale * along) / Math.sqrt(a.width);
      }
    }
  }
  return gradient;
}
