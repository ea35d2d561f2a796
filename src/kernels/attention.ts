/**
 * Grouped-query attention, forward: [shared prefix | shared user prompt | own segment] under a causal
 * mask, for training, prefill and decoding alike. Formula and layouts: attention.wgsl.
 */
import walk from './attention.walk.wgsl?raw';
import source from './attention.wgsl?raw';
import { bind, spread, type Gpu, type Op, type Span } from './gpu';
import { unroll } from './linear.unroll';
import { specialise } from './wgsl';

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
}

/**
 * On a software adapter every load, and every variable that a loop carries, costs like several
 * multiply-adds: a lane takes two rows and two keys, and more would take seconds to compile. A graphics card has
 * thousands of lanes and at most 255 registers for each.
 */
export function attentionTile({ headDim }: AttentionShape, software: boolean): AttentionTile {
  const heads = Math.max(1, Math.min(4, Math.floor(64 / headDim)));
  return software
    ? {
        workgroup: 4,
        ...(headDim > 32 ? { rows: 1, keys: 1 } : { rows: 2, keys: 2 }),
        heads,
        rolled: true,
      }
    : { workgroup: 32, rows: 1, heads, keys: 1, rolled: false };
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

/** @throws RangeError on bad shapes. */
export async function createAttention(
  gpu: Gpu,
  shape: AttentionShape,
  tile = attentionTile(shape, gpu.description.isFallbackAdapter),
): Promise<AttentionKernel> {
  checkAttentionShape(shape);
  const [bindShared, bindDecode] = await Promise.all([
    variant(gpu, shape, tile, true),
    variant(gpu, shape, { ...tile, rows: 1, keys: 1 }, false),
  ]);
  return { bind: bindShared, bindDecode };
}

async function variant(
  gpu: Gpu,
  shape: AttentionShape,
  tile: AttentionTile,
  shared: boolean,
): Promise<(buffers: AttentionBuffers) => Op> {
  const { heads, kvHeads, headDim, scale } = shape;
  const { parts, width, quads } = headParts(gpu, headDim, shared);
  const { constants: extra, flags } = attentionVariant(shape);
  const group = heads / kvHeads;
  const headsEach = divisorUpTo(group, tile.heads);
  const slices = heads / headsEach;
  const constants = {
    WORKGROUP: tile.workgroup,
    ROWS: tile.rows,
    HEADS: headsEach,
    KEYS: tile.keys,
    SLICES: slices,
    H: heads,
    GROUP: group,
    PARTS: parts,
    WIDTH: width,
    KV_D4: (kvHeads * headDim) / 4,
    SCALE_LOG2E_F: scale * Math.LOG2E,
    ...extra,
  };
  const label = shared ? 'attention' : 'attention decode';
  const code = specialise(walk + source, constants, {
    QUADS: quads,
    SHARED: shared,
    ROLLED: tile.rolled,
    ...flags,
  });
  const pipeline = await gpu.pipeline(label, enableQuads(unroll(code, constants), quads));
  // Workgroups of a shared walk serve rows, the others single row-and-slice pairs.
  const [rowsEach, pairsEach] = shared ? [tile.workgroup * tile.rows, 1] : [1, tile.workgroup];
  return ({ q, k, v, keys, self, o, lse, span }) =>
    bind(gpu, label, pipeline, [span.buffer, q, k, v, keys, self, o, lse], () =>
      spread(Math.ceil((Math.ceil(span.rows / rowsEach) * slices) / pairsEach)),
    );
}

/** `quadBroadcast` needs a directive that `specialise` adds for `subgroup…` calls only. */
export function enableQuads(code: string, quads: boolean): string {
  return quads ? `enable subgroups;\n${code}` : code;
}
