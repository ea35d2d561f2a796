/**
 * Backward of attention for training, where pool rows are the query rows (self[i] = i): dQ, dK and
 * dV of ordinary keys, dK and dV of the shared prefix keys. Every operation overwrites its output.
 * Formulas: attention-backward.*.wgsl.
 */
import keysSource from './attention-backward.keys.wgsl?raw';
import querySource from './attention-backward.query.wgsl?raw';
import reduceSource from './attention-backward.reduce.wgsl?raw';
import statsSource from './attention-backward.stats.wgsl?raw';
import { checkAttentionShape, divisorUpTo, type AttentionShape } from './attention';
import { specialiseUnrolled } from './attention.unroll';
import { bind, spread, type Gpu, type Op, type Span } from './gpu';

export interface AttentionBackwardShape extends AttentionShape {
  /** Parts that the query rows are split into for the prefix keys. */
  partitions?: number;
}

/** What all gradients read: q, dO [rows, H·hd]; k, v [rows, Hkv·hd]; stats from `bindStats`. */
export interface AttentionGradientInputs {
  q: GPUBuffer;
  k: GPUBuffer;
  v: GPUBuffer;
  dO: GPUBuffer;
  stats: GPUBuffer;
}

export interface AttentionStatsBuffers {
  /** [rows, H·hd] */
  o: GPUBuffer;
  /** [rows, H·hd] */
  dO: GPUBuffer;
  /** [rows, H] */
  lse: GPUBuffer;
  /** Out: vec2<f32> [rows, H], so 8 bytes a row and head: {lse · log2 e, Σ dO·o}. */
  stats: GPUBuffer;
  /** Query rows. */
  span: Span;
}

export interface AttentionQueryBuffers extends AttentionGradientInputs {
  /** vec4<u32> [rows] */
  keys: GPUBuffer;
  /** u32 [rows] */
  self: GPUBuffer;
  /** Out: [rows, H·hd] */
  dQ: GPUBuffer;
  /** Query rows. */
  span: Span;
}

export interface AttentionTextBuffers extends AttentionGradientInputs {
  /** u32 [rows]: key row j is seen by the query rows [j, queryEnd[j]). */
  queryEnd: GPUBuffer;
  /** Out: [rows, Hkv·hd] */
  dK: GPUBuffer;
  /** Out: [rows, Hkv·hd] */
  dV: GPUBuffer;
  /** Key rows, none of them a prefix row. */
  span: Span;
}

export interface AttentionPrefixBuffers extends AttentionGradientInputs {
  /** vec4<u32> [rows] */
  keys: GPUBuffer;
  /** u32 [rows] */
  self: GPUBuffer;
  /** Scratch of `partialBytes(n)`; may be shared by all layers. */
  partial: GPUBuffer;
  /** Out: [rows, Hkv·hd], only the prefix rows. */
  dK: GPUBuffer;
  /** Out: [rows, Hkv·hd], only the prefix rows. */
  dV: GPUBuffer;
  /** Key rows: {0, n}. */
  span: Span;
  /** Query rows: {0, total}. */
  queries: Span;
}

export interface AttentionBackwardKernel {
  /** First: what the other three need of each query row. */
  bindStats(buffers: AttentionStatsBuffers): Op;
  bindQuery(buffers: AttentionQueryBuffers): Op;
  /** dK and dV of ordinary keys. */
  bindText(buffers: AttentionTextBuffers): Op;
  /** dK and dV of the shared prefix keys: partial sums, then their reduction, to be run in order. */
  bindPrefix(buffers: AttentionPrefixBuffers): readonly [Op, Op];
  /** Bytes of `partial` for a prefix of n rows. */
  partialBytes(n: number): number;
}

/** How much one thread does; see attention-backward.query.wgsl and attention-backward.keys.wgsl. */
export interface AttentionBackwardTile {
  workgroup: number;
  /** dQ: neighbouring rows, and bound on the query heads, of one thread. */
  rows: number;
  heads: number;
  /** dK, dV: neighbouring keys of one thread. */
  keys: number;
}

function defaultTile(gpu: Gpu, { headDim }: AttentionShape): AttentionBackwardTile {
  if (!gpu.description.isFallbackAdapter) return { workgroup: 64, rows: 1, heads: 1, keys: 1 };
  const budget = Math.max(1, Math.floor(64 / headDim));
  return { workgroup: 4, rows: 1, heads: Math.min(4, budget), keys: Math.min(4, budget) };
}

const SMALL_WORKGROUP = 64;

/** @throws RangeError on bad shapes. */
export async function createAttentionBackward(
  gpu: Gpu,
  shape: AttentionBackwardShape,
  tile = defaultTile(gpu, shape),
): Promise<AttentionBackwardKernel> {
  checkAttentionShape(shape);
  const { heads, kvHeads, headDim, scale } = shape;
  const partitions = shape.partitions ?? 32;
  if (!Number.isInteger(partitions) || partitions < 1)
    throw new RangeError(`Query rows cannot be split into ${partitions} parts.`);
  const group = heads / kvHeads;
  const headsEach = divisorUpTo(group, tile.heads);
  const slices = heads / headsEach;
  const constants = {
    WORKGROUP: tile.workgroup,
    H: heads,
    KV_HEADS: kvHeads,
    GROUP: group,
    D4: headDim / 4,
    KV_D4: (kvHeads * headDim) / 4,
    SCALE_F: scale,
    SCALE_LOG2E_F: scale * Math.LOG2E,
  };
  const queryConstants = {
    ...constants,
    ROWS: tile.rows,
    HEADS: headsEach,
    QUERIES: tile.rows * headsEach,
    SLICES: slices,
  };
  const keyConstants = { ...constants, KEYS: tile.keys, PARTITIONS: partitions };
  const small = { ...constants, WORKGROUP: SMALL_WORKGROUP, PARTITIONS: partitions };
  const make = (label: string, source: string, values: typeof constants, prefix = false) =>
    gpu.pipeline(label, specialiseUnrolled(source, values, { PREFIX: prefix }));
  const [stats, query, text, prefix, reduce] = await Promise.all([
    make('attention stats', statsSource, small),
    make('attention dQ', querySource, queryConstants),
    make('attention dK dV', keysSource, keyConstants),
    make('attention prefix dK dV', keysSource, keyConstants, true),
    make('attention prefix reduction', reduceSource, small),
  ]);
  const threads = (count: number, workgroup: number) => spread(Math.ceil(count / workgroup));

  return {
    partialBytes: (n) => partitions * 2 * n * kvHeads * headDim * 4,

    bindStats: (b) =>
      bind(gpu, 'attention stats', stats, [b.span.buffer, b.o, b.dO, b.lse, b.stats], () =>
        threads(b.span.rows * heads, SMALL_WORKGROUP),
      ),

    bindQuery: (b) =>
      bind(
        gpu,
        'attention dQ',
        query,
        [b.span.buffer, b.q, b.k, b.v, b.dO, b.stats, b.keys, b.self, b.dQ],
        () => threads(Math.ceil(b.span.rows / tile.rows) * slices, tile.workgroup),
      ),

    bindText: (b) =>
      bind(
        gpu,
        'attention dK dV',
        text,
        [b.span.buffer, b.q, b.k, b.v, b.dO, b.stats, b.queryEnd, b.dK, b.dV],
        () => threads(Math.ceil(b.span.rows / tile.keys) * kvHeads, tile.workgroup),
      ),

    bindPrefix(b) {
      const inputs = [b.q, b.k, b.v, b.dO, b.stats, b.keys, b.self, b.partial];
      return [
        bind(
          gpu,
          'attention prefix dK dV',
          prefix,
          [b.span.buffer, ...inputs, b.queries.buffer],
          () => threads(partitions * Math.ceil(b.span.rows / tile.keys) * kvHeads, tile.workgroup),
        ),
        bind(
          gpu,
          'attention prefix reduction',
          reduce,
          [b.span.buffer, b.partial, b.dK, b.dV],
          () => threads((b.span.rows * kvHeads * headDim) / 4, SMALL_WORKGROUP),
        ),
      ];
    },
  };
}
