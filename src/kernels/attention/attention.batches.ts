/** Shapes for the tests of attention, and packed batches for them and the benchmark. */
import type { AttentionShape } from './attention';

export const shapes: AttentionShape[] = [
  { heads: 1, kvHeads: 1, headDim: 8, scale: 0.35 },
  { heads: 4, kvHeads: 2, headDim: 32, scale: 1 / Math.sqrt(32) },
  { heads: 4, kvHeads: 1, headDim: 64, scale: 0.125 },
  { heads: 3, kvHeads: 1, headDim: 32, scale: 0.2 },
  { heads: 4, kvHeads: 2, headDim: 16, scale: 0.5, softCap: 3 },
  { heads: 2, kvHeads: 1, headDim: 16, scale: 0.25, softCap: 50, window: 6 },
];
/** For teams: one, two, three and four vec4 a lane; one to four heads on a KV head. */
export const teamShapes: AttentionShape[] = [
  { heads: 2, kvHeads: 2, headDim: 16, scale: 0.25 },
  { heads: 4, kvHeads: 2, headDim: 32, scale: 1 / Math.sqrt(32) },
  { heads: 3, kvHeads: 1, headDim: 48, scale: 0.15 },
  { heads: 4, kvHeads: 1, headDim: 64, scale: 0.125 },
  { heads: 4, kvHeads: 2, headDim: 16, scale: 0.5, softCap: 3 },
  { heads: 2, kvHeads: 1, headDim: 32, scale: 0.25, softCap: 50, window: 6 },
];

/** A shape with what the titles of tests say of it. */
export const named = (shape: AttentionShape) => ({ ...shape, ratio: shape.heads / shape.kvHeads });

/** [prefix | x₁ | r₁ | r̄₁ | x₂ | …] */
export interface PackedBatch {
  rows: number;
  prefix: number;
  /** {prefixEnd, a0, a1, b0} a row. */
  keys: Uint32Array;
  /** Row i is its own key. */
  self: Uint32Array;
  /** Key row j is seen by the rows [j, queryEnd[j]); of no meaning for prefix rows. */
  queryEnd: Uint32Array;
}

/** Each example is [prompt length, response length, response length, …]. */
export function packBatch(prefix: number, examples: readonly (readonly number[])[]): PackedBatch {
  const rows = prefix + examples.flat().reduce((sum, length) => sum + length, 0);
  const keys = new Uint32Array(4 * rows);
  const queryEnd = new Uint32Array(rows);
  queryEnd.fill(rows, 0, prefix);
  let at = prefix;
  const append = (length: number, a0: number, a1: number, end: number) => {
    for (let row = at; row < at + length; row++) {
      keys.set([prefix, a0, a1, at], 4 * row);
      queryEnd[row] = end;
    }
    at += length;
  };
  for (const [prompt = 0, ...responses] of examples) {
    const start = at;
    append(prompt, 0, 0, start + [prompt, ...responses].reduce((sum, length) => sum + length, 0));
    for (const response of responses) append(response, start, start + prompt, at + response);
  }
  return { rows, prefix, keys, self: Uint32Array.from({ length: rows }, (_, i) => i), queryEnd };
}

/** A mixed batch of exactly `rows` rows with ragged examples and a prefix of 0 to 5 rows. */
export function mixedBatch(rows: number): PackedBatch {
  const prefix = Math.min(5, Math.floor(rows / 8));
  const examples: number[][] = [];
  let left = rows - prefix;
  for (let e = 0; left > 0; e++) {
    const lengths = [[7, 3, 5], [1, 1], [9], [2, 6, 1, 4], [13, 2, 2]][e % 5]!;
    const fitting = lengths.map((length) => {
      const taken = Math.min(left, length);
      left -= taken;
      return taken;
    });
    examples.push(fitting.filter((length) => length > 0));
  }
  return packBatch(prefix, examples);
}
