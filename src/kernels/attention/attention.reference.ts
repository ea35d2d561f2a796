/** Plain f64 attention, forward and gradient, straight from the formulas in attention.wgsl. */
import type { AttentionShape } from './attention';

export interface AttentionInputs {
  q: ArrayLike<number>;
  k: ArrayLike<number>;
  v: ArrayLike<number>;
  /** {prefixEnd, a0, a1, b0} a query row. */
  keys: Uint32Array;
  /** Pool row of each query row. */
  self: Uint32Array;
}

/** Does the query row `i` see the pool row `j`? */
export function sees({ keys, self }: AttentionInputs, i: number, j: number): boolean {
  const [prefixEnd, a0, a1, b0] = keys.subarray(4 * i, 4 * i + 4) as unknown as number[];
  return j < prefixEnd! || (a0! <= j && j < a1!) || (b0! <= j && j <= self[i]!);
}

/** How far before the query i the key j stands in the sequence, where i sees j. */
function distance({ keys, self }: AttentionInputs, i: number, j: number): number {
  const [prefixEnd, a0, a1, b0] = keys.subarray(4 * i, 4 * i + 4) as unknown as number[];
  const shared = a1! - a0!;
  const own = prefixEnd! + shared + self[i]! - b0!;
  if (j < prefixEnd!) return own - j;
  if (j >= a0! && j < a1!) return own - (prefixEnd! + j - a0!);
  return own - (prefixEnd! + shared + j - b0!);
}

/** o [rows, H·hd] and lse [rows, H]. */
export function attentionReference(shape: AttentionShape, inputs: AttentionInputs) {
  const { heads, headDim } = shape;
  const rows = inputs.self.length;
  const o = new Float64Array(rows * heads * headDim);
  const lse = new Float64Array(rows * heads);
  for (let i = 0; i < rows; i++) {
    for (let h = 0; h < heads; h++) {
      const seen = scores(shape, inputs, i, h);
      const top = Math.max(...seen.map(([, s]) => s));
      lse[i * heads + h] = top + Math.log(seen.reduce((z, [, s]) => z + Math.exp(s - top), 0));
      for (const [at, s] of seen) {
        const p = Math.exp(s - lse[i * heads + h]!);
        for (let d = 0; d < headDim; d++)
          o[(i * heads + h) * headDim + d]! += p * inputs.v[at + d]!;
      }
    }
  }
  return { o, lse };
}

/** Gradients of Σ o·dO: dQ like q, dK and dV like the KV pool. */
export function attentionGradientReference(
  shape: AttentionShape,
  inputs: AttentionInputs,
  dO: ArrayLike<number>,
) {
  const { heads, headDim, scale } = shape;
  const { o, lse } = attentionReference(shape, inputs);
  const dQ = new Float64Array(inputs.q.length);
  const dK = new Float64Array(inputs.k.length);
  const dV = new Float64Array(inputs.v.length);
  for (let i = 0; i < inputs.self.length; i++) {
    for (let h = 0; h < heads; h++) {
      const row = (i * heads + h) * headDim;
      let rowSum = 0;
      for (let d = 0; d < headDim; d++) rowSum += dO[row + d]! * o[row + d]!;
      for (const [at, s] of scores(shape, inputs, i, h)) {
        const p = Math.exp(s - lse[i * heads + h]!);
        const slope = shape.softCap === undefined ? 1 : 1 - (s / shape.softCap) ** 2;
        let dP = 0;
        for (let d = 0; d < headDim; d++) dP += dO[row + d]! * inputs.v[at + d]!;
        const dS = p * (dP - rowSum) * scale * slope;
        for (let d = 0; d < headDim; d++) {
          dQ[row + d]! += dS * inputs.k[at + d]!;
          dK[at + d]! += dS * inputs.q[row + d]!;
          dV[at + d]! += p * dO[row + d]!;
        }
      }
    }
  }
  return { dQ, dK, dV };
}

/** [offset of the key's row of this head, scaled score] of every key that query i sees. */
function scores(
  { heads, kvHeads, headDim, scale, softCap, window = Infinity }: AttentionShape,
  inputs: AttentionInputs,
  i: number,
  h: number,
): [number, number][] {
  const kvHead = Math.floor((h * kvHeads) / heads);
  const poolRows = inputs.k.length / (kvHeads * headDim);
  const out: [number, number][] = [];
  for (let j = 0; j < poolRows; j++) {
    if (!sees(inputs, i, j) || distance(inputs, i, j) >= window) continue;
    const at = (j * kvHeads + kvHead) * headDim;
    let s = 0;
    for (let d = 0; d < headDim; d++)
      s += inputs.q[(i * heads + h) * headDim + d]! * inputs.k[at + d]!;
    s *= scale;
    out.push([at, softCap === undefined ? s : softCap * Math.tanh(s / softCap)]);
  }
  return out;
}
