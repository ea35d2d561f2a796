/**
 * Grouped-query attention, forward: [shared prefix | shared user prompt | own segment] under a causal
 * mask, for training, prefill and decoding alike. Formula and layouts: attention.wgsl.
 */
import team from './attention.team.wgsl?raw';
import teamForward from './attention.team.forward.wgsl?raw';
import teamWalk from './attention.team.walk.wgsl?raw';
import walk from './attention.walk.wgsl?raw';
import source from './attention.wgsl?raw';
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { unroll } from '../linear/linear.unroll';
import { specialise, type Constants, type Flags } from '../gpu/wgsl';

export interface AttentionShape {
  /** Query heads H. */
  heads: number;
  /** Key/value heads Hkv; divides `heads`. */
  kvHeads: number;
  /** A multiple of 4. */
  headDim: number;
  /** Factor of q·k, as a rule 1/√headDim. */
  scale: number;
  /** c of c·tanh(score / c); absent: scores as they are. */
  softCap?: number;
  /** Positions that a query sees, its own included; absent: all before it. */
  window?: number;
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

/** How much one lane and one workgroup do. */
export interface AttentionTile {
  workgroup: number;
  /** Rows a lane; the rows of a workgroup walk over their keys together. */
  rows: number;
  /** Bound on the query heads a lane; they share a KV head. */
  heads: number;
  /** Keys a turn of the loop. */
  keys: number;
  /** Rows are loaded in a loop, which compiles faster; a graphics card wants them in registers. */
  rolled: boolean;
  /** Lanes that share a row, one of {@link TEAM_LANES}; absent: every lane has rows of its own. */
  team?: Team;
}

/** How lanes share rows, see attention.team.wgsl. `rows` and `rolled` of such a tile mean nothing. */
export interface Team {
  /** 4 or 8. */
  lanes: number;
  /** Teams that share the keys (for dK and dV the queries) of one row; a power of two. */
  splits: number;
}

/** Ascending; the most that a row and an adapter allow were fastest on a large card. */
const TEAM_LANES = [4, 8];
/** Floats that a lane of a team holds at most of q and as many of o, of all its heads. */
const TEAM_FLOATS = 64;
/** Workgroup memory that every device has; half the lanes hand their sums over through it. */
const TEAM_BYTES = 16_384;

/** Lanes of a team that this adapter should have; 1: it can have none, or is better off without. */
export function teamLanes(gpu: Gpu, headDim: number): number {
  if (gpu.description.isFallbackAdapter) return 1;
  return TEAM_LANES.findLast((lanes) => canTeam(gpu, headDim, lanes)) ?? 1;
}

function canTeam({ description }: Gpu, headDim: number, lanes: number): boolean {
  const { subgroups, subgroupMinSize } = description;
  return subgroups && lanes <= Math.max(4, subgroupMinSize) && headDim % (4 * lanes) === 0;
}

/**
 * On a software adapter every load, and every variable that a loop carries, costs like several
 * multiply-adds: a lane takes two rows and two keys, and more would take seconds to compile. A graphics card has
 * thousands of lanes, at most 255 registers for each, and waits long for what it loads: many small
 * teams, and several keys under way at once. `lanes` of a team: {@link teamLanes}.
 */
export function attentionTile(
  { headDim }: AttentionShape,
  software: boolean,
  lanes = 1,
): AttentionTile {
  const heads = Math.max(1, Math.min(4, Math.floor(64 / headDim)));
  if (software)
    return {
      workgroup: 4,
      ...(headDim > 32 ? { rows: 1, keys: 1 } : { rows: 2, keys: 2 }),
      heads,
      rolled: true,
    };
  if (lanes === 1) return { workgroup: 32, rows: 1, heads, keys: 1, rolled: false };
  // Of a lane and head: its part of o, and top and sum of the softmax.
  const handed = (4 * headDim) / lanes + 8;
  const splits = 64 * handed > TEAM_BYTES ? 2 : 4;
  const workgroup = 32 * splits;
  const fitting = Math.min(
    (TEAM_FLOATS * lanes) / headDim,
    (2 * TEAM_BYTES) / (workgroup * handed),
  );
  return {
    ...{ workgroup, rows: 1, keys: 4, rolled: false },
    heads: Math.max(1, Math.min(4, Math.floor(fitting))),
    team: { lanes, splits },
  };
}

/** For rows of different sequences: a workgroup has one row, whose keys its teams share. */
export function decodeTile(tile: AttentionTile): AttentionTile {
  const { team, workgroup } = tile;
  if (!team) return { ...tile, rows: 1, keys: 1 };
  const splits = workgroup / team.lanes;
  return { ...tile, keys: Math.min(2, tile.keys), team: { ...team, splits } };
}

/**
 * How a row of headDim is cut: parts · width vec4, with quads one of width = 4 for each lane. A
 * graphics card serves equal loads of neighbouring lanes at once and needs no quads.
 */
export function headParts(gpu: Gpu, headDim: number, shared = true) {
  const { subgroups, isFallbackAdapter } = gpu.description;
  const quads = shared && subgroups && isFallbackAdapter && headDim % 16 === 0;
  return { parts: headDim / (quads ? 16 : 4), width: quads ? 4 : 1, quads };
}

/** @throws RangeError where the head counts do not divide or headDim is no multiple of 4. */
export function checkAttentionShape(shape: AttentionShape): void {
  const { heads, kvHeads, headDim, scale, softCap = 1, window = 1 } = shape;
  const counts = [heads, kvHeads, headDim];
  if (!counts.every((n) => Number.isInteger(n) && n > 0) || heads % kvHeads || headDim % 4)
    throw new RangeError(`Attention cannot have ${heads}/${kvHeads} heads of ${headDim}.`);
  if (!Number.isFinite(scale)) throw new RangeError(`Attention cannot be scaled by ${scale}.`);
  if (!(softCap > 0) || !Number.isInteger(window) || window < 1)
    throw new RangeError(`Attention cannot be capped at ${softCap} or see ${window} positions.`);
}

/** Constants and flags of the variants; each combination is a set of pipelines of its own. */
export function attentionVariant({ softCap, window }: AttentionShape) {
  return {
    constants: {
      ...(softCap === undefined ? {} : { CAP_LOG2E_F: softCap * Math.LOG2E }),
      ...(window === undefined ? {} : { WINDOW: window }),
    },
    flags: { CAPPED: softCap !== undefined, WINDOWED: window !== undefined },
  };
}

/** The largest divisor of `n` that is at most `most`. */
export function divisorUpTo(n: number, most: number): number {
  let divisor = Math.max(1, Math.min(n, Math.floor(most)));
  while (n % divisor) divisor--;
  return divisor;
}

/** @throws RangeError on bad shapes and on teams that this adapter cannot have. */
export async function createAttention(
  gpu: Gpu,
  shape: AttentionShape,
  tile = defaultTile(gpu, shape),
  decode = decodeTile(tile),
): Promise<AttentionKernel> {
  checkAttentionShape(shape);
  const [bindShared, bindDecode] = await Promise.all([
    variant(gpu, shape, tile, true),
    variant(gpu, shape, decode, false),
  ]);
  return { bind: bindShared, bindDecode };
}

function defaultTile(gpu: Gpu, shape: AttentionShape): AttentionTile {
  const { isFallbackAdapter } = gpu.description;
  return attentionTile(shape, isFallbackAdapter, teamLanes(gpu, shape.headDim));
}

async function variant(
  gpu: Gpu,
  shape: AttentionShape,
  tile: AttentionTile,
  shared: boolean,
): Promise<(buffers: AttentionBuffers) => Op> {
  const { heads, kvHeads, headDim, scale } = shape;
  const { constants: extra, flags } = attentionVariant(shape);
  const group = heads / kvHeads;
  const headsEach = divisorUpTo(group, tile.heads);
  const slices = heads / headsEach;
  const common = {
    WORKGROUP: tile.workgroup,
    HEADS: headsEach,
    KEYS: tile.keys,
    SLICES: slices,
    H: heads,
    GROUP: group,
    KV_D4: (kvHeads * headDim) / 4,
    SCALE_LOG2E_F: scale * Math.LOG2E,
    ...extra,
  };
  const label = shared ? 'attention' : 'attention decode';
  const bound = (pipeline: GPUComputePipeline, groups: (rows: number) => number) => {
    return ({ q, k, v, keys, self, o, lse, span }: AttentionBuffers) =>
      bind(gpu, label, pipeline, [span.buffer, q, k, v, keys, self, o, lse], () =>
        spread(groups(span.rows)),
      );
  };
  if (tile.team) {
    const constants = { ...common, ...teamConstants(gpu, shape, tile.workgroup, tile.team) };
    const code = teamCode(teamWalk + teamForward, constants, flags);
    const pipeline = await gpu.pipeline(label, code);
    return bound(pipeline, (rows) => Math.ceil(rows / constants.TEAMS) * slices);
  }
  const { parts, width, quads } = headParts(gpu, headDim, shared);
  const constants = { ...common, ROWS: tile.rows, PARTS: parts, WIDTH: width };
  const code = specialise(walk + source, constants, {
    QUADS: quads,
    SHARED: shared,
    ROLLED: tile.rolled,
    ...flags,
  });
  const pipeline = await gpu.pipeline(label, enableQuads(unroll(code, constants), quads));
  // Workgroups of a shared walk serve rows, the others single row-and-slice pairs.
  const [rowsEach, pairsEach] = shared ? [tile.workgroup * tile.rows, 1] : [1, tile.workgroup];
  return bound(pipeline, (rows) => Math.ceil((Math.ceil(rows / rowsEach) * slices) / pairsEach));
}

/** @throws RangeError where this adapter cannot have such teams, or not in such a workgroup. */
export function teamConstants(
  gpu: Gpu,
  { headDim }: AttentionShape,
  workgroup: number,
  { lanes, splits }: Team,
) {
  if (!TEAM_LANES.includes(lanes) || !canTeam(gpu, headDim, lanes))
    throw new RangeError(`Rows of ${headDim} cannot have teams of ${lanes} lanes here.`);
  if (!Number.isInteger(Math.log2(splits)) || workgroup % (lanes * splits))
    throw new RangeError(`${workgroup} lanes cannot be ${splits} splits of teams of ${lanes}.`);
  const teams = workgroup / (lanes * splits);
  return { TEAM: lanes, TEAMS: teams, SPLITS: splits, PARTS: headDim / (4 * lanes) };
}

/** A kernel of teams, unrolled. */
export function teamCode(
  source: string,
  constants: Constants & { TEAM: number; SPLITS: number },
  flags: Flags,
): string {
  const { TEAM, SPLITS } = constants;
  const all = { ...flags, TEAM_8: TEAM === 8, SPLIT: SPLITS > 1 };
  const code = unroll(specialise(team + source, constants, all), constants);
  // `specialise` has added the directive where there are calls of `subgroup…`.
  return enableQuads(code, TEAM < 8);
}

/** `quadBroadcast` needs a directive that `specialise` adds for `subgroup…` calls only. */
export function enableQuads(code: string, quads: boolean): string {
  return quads ? `enable subgroups;\n${code}` : code;
}
