/**
 * Grouped-query attention, forward: [shared prefix | shared user prompt | own segment] under a causal
 * mask, for training, prefill and decoding alike. Formula and layouts: attention.wgsl.
 */
import source from './attention.wgsl?raw';
import { specialiseUnrolled } from './attention.unroll';
import { bind, spread, type Gpu, type Op, type Span } from './gpu';

export interface AttentionShape {
  /** Query heads H. */
  heads: number;
  /** Key/value heads Hkv; divides `heads`. */
  kvHeads: number;
  /** A multiple of 4. */
  headDim: number;
  /** Factor of q·k, as a rule 1/√headDim. */
  scale: number;
}

export interface AttentionBuffers {
  /** [rows, H·hd], after RoPE. */
  q: GPUBuffer;
  /** KV pool [kvRows, Hkv·hd], after RoPE. */
  k: GPUBuffer;
  /** KV pool [kvRows, Hkv·hd]. */
  v: GPUBuffer;
  /** vec4<u32> [rows]: {prefixEnd, a0, a1, b0}; the three ranges must not overlap. */
  keys: GPUBuffer;
  /** u32 [rows]: the pool row of the query itself, the last that it sees. */
  self: GPUBuffer;
  /** Out: [rows, H·hd]. */
  o: GPUBuffer;
  /** Out: [rows, H], natural log-sum-exp of the scaled scores. */
  lse: GPUBuffer;
  /** Query rows; q, keys, self, o and lse are read and written at [start, start + rows). */
  span: Span;
}

export interface AttentionKernel {
  /** For runs of rows whose neighbours see mostly the same keys: training and prefill. */
  bind(buffers: AttentionBuffers): Op;
  /** For rows that each belong to another sequence: decoding. Same result, other speed. */
  bindDecode(buffers: AttentionBuffers): Op;
}

/** How much one thread does. */
export interface AttentionTile {
  workgroup: number;
  /** Neighbouring rows a thread. */
  rows: number;
  /** Bound on the query heads a thread; they share a KV head. */
  heads: number;
  /** Keys (in dK/dV: queries) taken in one go. */
  keys: number;
}

/**
 * A software adapter waits for loads and has few lanes: many rows a thread, as far as a pipeline
 * that is unrolled over them still compiles in a moment. A graphics card has thousands of lanes and
 * at most 255 registers for each.
 */
export function attentionTile(gpu: Gpu, shape: AttentionShape, rows: number): AttentionTile {
  const { heads, kvHeads, headDim } = shape;
  const budget = 64;
  const headsEach = divisorUpTo(heads / kvHeads, Math.min(4, budget / headDim));
  const rowsEach = Math.max(1, Math.min(rows, Math.floor(budget / headDim / headsEach)));
  return gpu.description.isFallbackAdapter
    ? { workgroup: 4, rows: rowsEach, heads: headsEach, keys: 2 }
    : { workgroup: 64, rows: 1, heads: headsEach, keys: 2 };
}

/** @throws RangeError where the head counts do not divide or headDim is no multiple of 4. */
export function checkAttentionShape({ heads, kvHeads, headDim, scale }: AttentionShape): void {
  const counts = [heads, kvHeads, headDim];
  if (!counts.every((n) => Number.isInteger(n) && n > 0) || heads % kvHeads || headDim % 4)
    throw new RangeError(`Attention cannot have ${heads}/${kvHeads} heads of ${headDim}.`);
  if (!Number.isFinite(scale)) throw new RangeError(`Attention cannot be scaled by ${scale}.`);
}

/** The largest divisor of `n` that is at most `most`. */
export function divisorUpTo(n: number, most: number): number {
  let divisor = Math.max(1, Math.min(n, Math.floor(most)));
  while (n % divisor) divisor--;
  return divisor;
}

/** @throws RangeError on bad shapes. */
export async function createAttention(
  gpu: Gpu,
  shape: AttentionShape,
  tiles = { packed: attentionTile(gpu, shape, 4), decode: attentionTile(gpu, shape, 1) },
): Promise<AttentionKernel> {
  checkAttentionShape(shape);
  const [bindPacked, bindDecode] = await Promise.all([
    variant(gpu, shape, tiles.packed),
    variant(gpu, shape, tiles.decode),
  ]);
  return { bind: bindPacked, bindDecode };
}

async function variant(
  gpu: Gpu,
  { heads, kvHeads, headDim, scale }: AttentionShape,
  tile: AttentionTile,
): Promise<(buffers: AttentionBuffers) => Op> {
  const group = heads / kvHeads;
  const headsEach = divisorUpTo(group, tile.heads);
  const slices = heads / headsEach;
  const constants = {
    WORKGROUP: tile.workgroup,
    ROWS: tile.rows,
    HEADS: headsEach,
    KEYS: tile.keys,
    QUERIES: tile.rows * headsEach,
    SLICES: slices,
    H: heads,
    GROUP: group,
    D4: headDim / 4,
    KV_D4: (kvHeads * headDim) / 4,
    SCALE_LOG2E_F: scale * Math.LOG2E,
  };
  const label = `attention ${tile.rows}×${headsEach}`;
  const pipeline = await gpu.pipeline(label, specialiseUnrolled(source, constants, {}));
  return ({ q, k, v, keys, self, o, lse, span }) =>
    bind(gpu, label, pipeline, [span.buffer, q, k, v, keys, self, o, lse], () =>
      spread(Math.ceil((Math.ceil(span.rows / tile.rows) * slices) / tile.workgroup)),
    );
}
