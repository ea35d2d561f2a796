/**
 * Products with a thin matrix [rank, width]: what LoRA and steering vectors add to a frozen model,
 * and their gradients. Formulas in low-rank.wgsl.
 */
import { bind, spread, type BufferPart, type Gpu, type Op, type Span } from '../gpu/gpu';
import { unroll } from './linear.unroll';
import source from './low-rank.wgsl?raw';
import { lanesFor, positive, withLanes } from '../rows/reduce-lanes';

export interface LowRankShape {
  /** Rows of the thin matrix, at most {@link MAX_RANK}. */
  rank: number;
  /** Its columns. */
  width: number;
  /** Factor of `bindDown`: LoRA's α / rank. Default 1. */
  scale?: number;
  /** Invocations that share a column of OUTER (a power of two). Default: chosen from the adapter. */
  slices?: number;
}

export interface LowRankKernel {
  /** h = scale · x · Mᵀ on the rows of the span: x [rows, width], m [rank, width], h [rows, rank]. */
  bindDown(args: { x: GPUBuffer; m: BufferPart; h: GPUBuffer; span: Span }): Op;
  /** y += h · M on the rows of the span: h [rows, rank], m [rank, width], y [rows, width]. */
  bindUp(args: { h: GPUBuffer; m: BufferPart; y: GPUBuffer; span: Span }): Op;
  /** g = hᵀ · x over the rows of the span: h [rows, rank], x [rows, width], g [rank, width]. */
  bindOuter(args: { h: GPUBuffer; x: GPUBuffer; g: BufferPart; span: Span }): Op;
  /** Changes the factor of `bindDown`. */
  setScale(scale: number): void;
  release(): void;
}

/** Each rank is a register of every invocation. */
export const MAX_RANK = 64;

/** Rows that one invocation of UP serves. */
const ROWS = 16;

type Mode = 'DOWN' | 'UP' | 'OUTER';

/**
 * Shapes of one rank share their compiled pipelines.
 * @throws RangeError on sizes below 1, a rank above MAX_RANK or a scale that is no finite number.
 */
export async function createLowRank(gpu: Gpu, shape: LowRankShape): Promise<LowRankKernel> {
  const { rank, width, scale = 1 } = shape;
  positive('rank', rank);
  positive('width', width);
  if (rank > MAX_RANK) throw new RangeError(`rank is ${rank}; at most ${MAX_RANK} is possible.`);
  if (!Number.isFinite(scale)) throw new RangeError(`scale is ${scale}.`);
  const software = gpu.description.isFallbackAdapter;
  const vec4 = width % 4 === 0;
  const columns = vec4 ? width / 4 : width;
  // A graphics chip needs more invocations than there are columns; software has no use for more.
  const slices = shape.slices ?? (software ? 1 : 8);
  const lanes = { DOWN: lanesFor(gpu, width), UP: software ? 4 : 64, OUTER: software ? 4 : 32 };
  const quartets = Math.ceil(rank / 4);
  const make = (mode: Mode): Promise<GPUComputePipeline> => {
    const code = withLanes(
      gpu,
      source,
      lanes[mode],
      { RANK: rank, ROWS, SLICES: slices },
      {
        VEC4: vec4,
        DOWN: mode === 'DOWN',
        UP: mode === 'UP',
        OUTER: mode === 'OUTER',
        SLICED: slices > 1,
      },
    );
    const counts = { RANK: rank, PADDED: 4 * quartets, QUARTETS: quartets };
    return gpu.pipeline(`low-rank ${mode.toLowerCase()}`, unroll(code, counts));
  };
  const [down, up, outer] = await Promise.all([make('DOWN'), make('UP'), make('OUTER')]);
  const uniform = gpu.uniform('low-rank shape', 16);
  const setScale = (factor: number) => {
    const words = new ArrayBuffer(16);
    new Uint32Array(words)[0] = width;
    new Float32Array(words)[1] = factor;
    gpu.write(uniform, new Uint8Array(words));
  };
  setScale(scale);
  return {
    bindDown: ({ x, m, h, span }) =>
      bind(gpu, 'low-rank down', down, [span.buffer, uniform, x, m, h], () => spread(span.rows)),
    bindUp: ({ h, m, y, span }) =>
      bind(gpu, 'low-rank up', up, [span.buffer, uniform, h, m, y], () => [
        Math.ceil(columns / lanes.UP),
        Math.ceil(span.rows / ROWS),
        1,
      ]),
    bindOuter: ({ h, x, g, span }) =>
      bind(gpu, 'low-rank outer', outer, [span.buffer, uniform, h, x, g], () => [
        Math.ceil(columns / lanes.OUTER),
        1,
        1,
      ]),
    setScale,
    release: () => gpu.release(uniform),
  };
}
