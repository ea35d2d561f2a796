/**
 * Backward of attention for training, where pool rows are the query rows (self[i] = i) or the query
 * rows are some of them: dQ, dK and dV of ordinary keys, dK and dV of the shared prefix keys. Every
 * operation overwrites its output.
 * Formulas: attention-backward.*.wgsl.
 */
import keysSource from './attention-backward.keys.wgsl?raw';
import querySource from './attention-backward.query.wgsl?raw';
import reduceSource from './attention-backward.reduce.wgsl?raw';
import statsSource from './attention-backward.stats.wgsl?raw';
import teamKeysSource from './attention-backward.team.keys.wgsl?raw';
import teamQuerySource from './attention-backward.team.query.wgsl?raw';
import teamStatsSource from './attention-backward.team.stats.wgsl?raw';
import {
  attentionTile,
  attentionVariant,
  checkAttentionShape,
  divisorUpTo,
  enableQuads,
  headParts,
  teamCode,
  teamConstants,
  teamLanes,
  type AttentionShape,
  type AttentionTile,
  type Team,
} from './attention';
import teamWalk from './attention.team.walk.wgsl?raw';
import walk from './attention.walk.wgsl?raw';
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { unroll } from '../linear/linear.unroll';
import { specialise, type Constants } from '../gpu/wgsl';

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

export interface AttentionKeysBuffers extends AttentionGradientInputs {
  /**
   * vec4<u32> [rows] = {first, end, position of the key, position of the query}: key row j is seen by
   * the query rows [first, end) of j, and no later key begins earlier. Queries may be fewer than keys.
   */
  seen: GPUBuffer;
  /** Out: [rows, Hkv·hd], only the rows of the span. */
  dK: GPUBuffer;
  /** Out: [rows, Hkv·hd], only the rows of the span. */
  dV: GPUBuffer;
  /** Key rows. */
  span: Span;
}

export interface AttentionPrefixBuffers extends AttentionKeysBuffers {
  /** Scratch of `partialBytes(n)` each. */
  partial: { k: GPUBuffer; v: GPUBuffer };
}

export interface AttentionBackwardKernel {
  /** First: what the other three need of each query row. */
  bindStats(buffers: AttentionStatsBuffers): Op;
  bindQuery(buffers: AttentionQueryBuffers): Op;
  /** dK and dV of ordinary keys. */
  bindText(buffers: AttentionKeysBuffers): Op;
  /** dK and dV of the shared prefix keys: partial sums, then their reduction, to be run in order. */
  bindPrefix(buffers: AttentionPrefixBuffers): readonly [Op, Op];
  /** Bytes of each of `partial` for a prefix of n rows. */
  partialBytes(n: number): number;
  /** Frees what the kernel owns. */
  release(): void;
}

/** How much one lane and one workgroup do. */
export interface AttentionBackwardTile {
  query: AttentionTile;
  keys: AttentionKeysTile;
}

/** For dK and dV. */
export interface AttentionKeysTile {
  workgroup: number;
  /** Keys a lane. */
  keys: number;
  /** Query rows, and bound on the heads of each, a turn of the loop. */
  queries: number;
  heads: number;
  /** As in {@link AttentionTile}; `queries` of a tile with teams are pairs of a query and a head. */
  rolled: boolean;
  team?: Team;
}

/** `lanes` as in {@link attentionTile}. */
export function attentionBackwardTile(
  shape: AttentionShape,
  software: boolean,
  lanes = 1,
): AttentionBackwardTile {
  const forward = attentionTile(shape, software, lanes);
  if (forward.team) {
    // Many teams with the same keys: text keys alone would be too few lanes. Their sums meet in workgroup
    // memory, which is short where rows are long.
    const team = { lanes, splits: shape.headDim > 128 ? 4 : 8 };
    const workgroup = 4 * lanes * team.splits;
    const keys = { workgroup, keys: 2, queries: 2, heads: 1, rolled: false, team };
    return { query: forward, keys };
  }
  // A second row would save dQ a twentieth of its time and double what it takes to compile.
  const query = { ...forward, rows: 1, keys: 1 };
  const { workgroup, rolled } = query;
  const each = software && shape.headDim <= 32 ? 2 : 1;
  return { query, keys: { workgroup, keys: each, queries: each, heads: 1, rolled } };
}

const SMALL_WORKGROUP = 64;

/** @throws RangeError on bad shapes and on teams that this adapter cannot have. */
export async function createAttentionBackward(
  gpu: Gpu,
  shape: AttentionBackwardShape,
  tile = attentionBackwardTile(
    shape,
    gpu.description.isFallbackAdapter,
    teamLanes(gpu, shape.headDim),
  ),
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
  const { workgroup, keys, queries, heads: most } = tile.keys;
  const ofKeys = {
    ...constants,
    ...{ WORKGROUP: workgroup, KEYS: keys, QUERIES: queries, HEADS: divisorUpTo(group, most) },
  };
  const makeTeams = (label: string, source: string, values: Constants, team: Team) => {
    const ofTeam = teamConstants(gpu, shape, values.WORKGROUP!, team);
    return gpu.pipeline(label, teamCode(source, { ...values, ...ofTeam }, flags));
  };
  const make = (label: string, source: string, values: Constants, rolled = false) => {
    const choices = { QUADS: quads, ROLLED: rolled, AHEAD: tile.keys.team !== undefined };
    const code = unroll(specialise(source, values, { ...choices, ...flags }), values);
    return gpu.pipeline(label, enableQuads(code, quads));
  };
  const [statsPipeline, queryPipeline, keysPipeline, reducePipeline] = await Promise.all([
    tile.query.team
      ? makeTeams('attention stats', teamStatsSource, small, { ...tile.query.team, splits: 1 })
      : make('attention stats', statsSource, small),
    tile.query.team
      ? makeTeams('attention dQ', teamWalk + teamQuerySource, query, tile.query.team)
      : make('attention dQ', walk + querySource, query, tile.query.rolled),
    tile.keys.team
      ? makeTeams('attention dK dV', teamKeysSource, { ...ofKeys, PAIRS: queries }, tile.keys.team)
      : make('attention dK dV', keysSource, ofKeys, tile.keys.rolled),
    make('attention prefix reduction', reduceSource, small),
  ]);
  // Text keys have all their queries at once and go to their places; a pipeline of their own would take
  // as long to make as both together.
  const cutOf = (label: string, parts: number, place: number) => {
    const uniform = gpu.uniform(label, 16);
    gpu.write(uniform, new Uint32Array([parts, place, 0, 0]));
    return uniform;
  };
  const uncut = cutOf('attention text', 1, 1);
  const cut = cutOf('attention prefix', partitions, 0);
  // What a workgroup serves at a time: a row or a key a lane, or a team of lanes.
  const served = ({ workgroup, team }: { workgroup: number; team?: Team }) =>
    team ? workgroup / (team.lanes * team.splits) : workgroup;
  const rowsEach = served(tile.query) * (tile.query.team ? 1 : tile.query.rows);
  const keysEach = served(tile.keys) * keys;
  const threads = (count: number) => spread(Math.ceil(count / SMALL_WORKGROUP));
  const lanesOfStats = tile.query.team?.lanes ?? 1;

  return {
    partialBytes: (n) => partitions * n * kvHeads * headDim * 4,

    bindStats: (b) =>
      bind(gpu, 'attention stats', statsPipeline, [b.span.buffer, b.o, b.dO, b.lse, b.stats], () =>
        threads(b.span.rows * heads * lanesOfStats),
      ),

    bindQuery: (b) =>
      bind(
        gpu,
        'attention dQ',
        queryPipeline,
        [b.span.buffer, b.q, b.k, b.v, b.keys, b.self, b.dO, b.stats, b.dQ],
        () => spread(Math.ceil(b.span.rows / rowsEach) * slices),
      ),

    bindText: (b) =>
      bind(
        gpu,
        'attention dK dV',
        keysPipeline,
        [b.span.buffer, b.q, b.k, b.v, b.dO, b.stats, b.seen, b.dK, b.dV, uncut],
        () => spread(Math.ceil(b.span.rows / keysEach) * kvHeads),
      ),

    bindPrefix(b) {
      const { k, v } = b.partial;
      return [
        bind(
          gpu,
          'attention prefix dK dV',
          keysPipeline,
          [b.span.buffer, b.q, b.k, b.v, b.dO, b.stats, b.seen, k, v, cut],
          () => spread(partitions * Math.ceil(b.span.rows / keysEach) * kvHeads),
        ),
        bind(
          gpu,
          'attention prefix reduction',
          reducePipeline,
          [b.span.buffer, k, v, b.dK, b.dV, cut],
          () => threads((b.span.rows * kvHeads * headDim) / 4),
        ),
      ];
    },

    release: () => gpu.release(uncut, cut),
  };
}
