/**
 * Backward of attention for training, where pool rows are the query rows (self[i] = i) or the query
 * rows are some of them: dQ, dK and dV of ordinary keys, dK and dV of the shared prefix keys. Every operation overwrites its output.
 * Formulas: attention-backward.*.wgsl.
 */
import keysSource from './attention-backward.keys.wgsl?raw';
import querySource from './attention-backward.query.wgsl?raw';
import reduceSource from './attention-backward.reduce.wgsl?raw';
import statsSource from './attention-backward.stats.wgsl?raw';
import {
  attentionTile,
  attentionVariant,
  checkAttentionShape,
  divisorUpTo,
  enableQuads,
  headParts,
  type AttentionShape,
  type AttentionTile,
} from './attention';
import walk from './attention.walk.wgsl?raw';
import { bind, spread, type Gpu, type Op, type Span } from './gpu';
import { unroll } from './linear.unroll';
import { specialise, type Constants } from './wgsl';

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
  /**
   * vec4<u32> [rows] = {first, end, position of the key, position of the query}: key row j is seen by
   * the query rows [first, end) of j, and no later key begins earlier. Queries may be fewer than keys.
   */
  seen: GPUBuffer;
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

/** How much one lane and one workgroup do. */
export interface AttentionBackwardTile {
  query: AttentionTile;
  text: AttentionKeysTile;
  prefix: AttentionKeysTile;
}

/** For dK and dV. */
export interface AttentionKeysTile {
  workgroup: number;
  /** Keys a lane. */
  keys: number;
  /** Query rows, and bound on the heads of each, a turn of the loop. */
  queries: number;
  heads: number;
  /** As in {@link AttentionTile}. */
  rolled: boolean;
}

export function attentionBackwardTile(
  shape: AttentionShape,
  software: boolean,
): AttentionBackwardTile {
  // A second row would save dQ a twentieth of its time and double what it takes to compile.
  const query = { ...attentionTile(shape, software), rows: 1, keys: 1 };
  const { workgroup, rolled } = query;
  const keys = { workgroup, keys: 1, queries: 1, heads: 1, rolled };
  const wide = { ...keys, keys: 2, queries: 2 };
  return software && shape.headDim <= 32
    ? { query, text: wide, prefix: wide }
    : { query, text: keys, prefix: keys };
}

const SMALL_WORKGROUP = 64;

/** @throws RangeError on bad shapes. */
export async function createAttentionBackward(
  gpu: Gpu,
  shape: AttentionBackwardShape,
  tile = attentionBackwardTile(shape, gpu.description.isFallbackAdapter),
): Promise<AttentionBackwardKernel> {
  checkAttentionShape(shape);
  const { heads, kvHeads, headDim, scale } = shape;
  const partitions = shape.partitions ?? 32;
  if (!Number.isInteger(partitions) || partitions < 1)
    throw new RangeError(`Query rows cannot be split into ${partitions} parts.`);
  const { parts, width, quads } = headParts(gpu, headDim);
  const { constants: extra, flags } = attentionVariant(shape);
  const group = heads / kvHeads;
  const headsEach = divisorUpTo(group, tile.query.heads);
  const slices = heads / headsEach;
  const constants = {
    H: heads,
    KV_HEADS: kvHeads,
    GROUP: group,
    PARTS: parts,
    WIDTH: width,
    KV_D4: (kvHeads * headDim) / 4,
    SCALE_F: scale,
    SCALE_LOG2E_F: scale * Math.LOG2E,
    ...extra,
  };
  const small = { ...constants, WORKGROUP: SMALL_WORKGROUP };
  const query = {
    ...constants,
    WORKGROUP: tile.query.workgroup,
    ROWS: tile.query.rows,
    HEADS: headsEach,
    KEYS: tile.query.keys,
    SLICES: slices,
  };
  const ofKeys = ({ workgroup, keys, queries, heads: most }: AttentionKeysTile) => ({
    ...constants,
    WORKGROUP: workgroup,
    KEYS: keys,
    QUERIES: queries,
    HEADS: divisorUpTo(group, most),
  });
  const make = (
    label: string,
    source: string,
    values: Constants,
    { PREFIX = false, ROLLED = false } = {},
  ) => {
    const chosen = { QUADS: quads, PREFIX, ROLLED, ...flags };
    const code = unroll(specialise(source, values, chosen), values);
    return gpu.pipeline(label, enableQuads(code, quads));
  };
  const [statsPipeline, queryPipeline, textPipeline, prefixPipeline, reducePipeline] =
    await Promise.all([
      make('attention stats', statsSource, small),
      make('attention dQ', walk + querySource, query, { ROLLED: tile.query.rolled }),
      make('attention dK dV', keysSource, ofKeys(tile.text), { ROLLED: tile.text.rolled }),
      make(
        'attention prefix dK dV',
        keysSource,
        { ...ofKeys(tile.prefix), PARTITIONS: partitions },
        { PREFIX: true, ROLLED: tile.prefix.rolled },
      ),
      make('attention prefix reduction', reduceSource, { ...small, PARTITIONS: partitions }),
    ]);
  const blocks = (rows: number, { workgroup }: { workgroup: number }, each: number) =>
    Math.ceil(rows / (workgroup * each));
  const threads = (count: number) => spread(Math.ceil(count / SMALL_WORKGROUP));

  return {
    partialBytes: (n) => partitions * 2 * n * kvHeads * headDim * 4,

    bindStats: (b) =>
      bind(gpu, 'attention stats', statsPipeline, [b.span.buffer, b.o, b.dO, b.lse, b.stats], () =>
        threads(b.span.rows * heads),
      ),

    bindQuery: (b) =>
      bind(
        gpu,
        'attention dQ',
        queryPipeline,
        [b.span.buffer, b.q, b.k, b.v, b.keys, b.self, b.dO, b.stats, b.dQ],
        () => spread(blocks(b.span.rows, tile.query, tile.query.rows) * slices),
      ),

    bindText: (b) =>
      bind(
        gpu,
        'attention dK dV',
        textPipeline,
        [b.span.buffer, b.q, b.k, b.v, b.dO, b.stats, b.seen, b.dK, b.dV],
        () => spread(blocks(b.span.rows, tile.text, tile.text.keys) * kvHeads),
      ),

    bindPrefix(b) {
      const inputs = [b.q, b.k, b.v, b.dO, b.stats, b.keys, b.self, b.partial];
      return [
        bind(
          gpu,
          'attention prefix dK dV',
          prefixPipeline,
          [b.span.buffer, ...inputs, b.queries.buffer],
          () => spread(partitions * blocks(b.span.rows, tile.prefix, tile.prefix.keys) * kvHeads),
        ),
        bind(
          gpu,
          'attention prefix reduction',
          reducePipeline,
          [b.span.buffer, b.partial, b.dK, b.dV],
          () => threads((b.span.rows * kvHeads * headDim) / 4),
        ),
      ];
    },
  };
}
