/**
 * Deterministic sums on the GPU: Σx² (a gradient's squared norm) and Σx·y (weighted losses), each
 * into one slot of a metrics buffer. Formula in reduce.wgsl. The order of additions depends on
 * nothing but the number of elements, so a run repeats bit for bit on one device.
 */
import { bind, type Gpu, type Op, type Span } from './gpu';
import { withLanes } from './reduce-lanes';
import source from './reduce.wgsl?raw';

export interface ReduceShape {
  /** Slots of the metrics buffer: [slots] f32. */
  slots: number;
}

export interface ReduceArgs {
  /** Flat f32. */
  x: GPUBuffer;
  /** Elements (not rows) of x, and of y, that count. */
  span: Span;
  /** [slots] */
  metrics: GPUBuffer;
  /** Which entry of metrics is written. */
  slot: number;
}

export interface ReduceKernel {
  /** metrics[slot] = Σ x². Two operations, in order. */
  bindSquares(args: ReduceArgs): Op[];
  /** metrics[slot] = Σ x·y. Two operations, in order. */
  bindDot(args: ReduceArgs & { y: GPUBuffer }): Op[];
  /** Frees the scratch buffer. */
  release(): void;
}

const LANES = 64;
const PARTIALS = 32;

/** @throws RangeError on no slots; binding throws it on a slot that is not there. */
export async function createReduce(gpu: Gpu, { slots }: ReduceShape): Promise<ReduceKernel> {
  if (!Number.isInteger(slots) || slots < 1) throw new RangeError(`${slots} metrics slots.`);
  const make = (partial: boolean, squares: boolean, slot: number): Promise<GPUComputePipeline> =>
    gpu.pipeline(
      'reduce',
      withLanes(
        gpu,
        source,
        LANES,
        { PARTIALS, SLOT: slot },
        { PARTIAL: partial, SQUARES: squares },
      ),
    );
  const [squares, dot, ...finish] = await Promise.all([
    make(true, true, 0),
    make(true, false, 0),
    ...Array.from({ length: slots }, (_, slot) => make(false, false, slot)),
  ]);
  // Dispatches of one queue run in order, so all sums share the scratch.
  const partials = gpu.storage('reduce partials', PARTIALS * 4);
  const last = (metrics: GPUBuffer, slot: number): Op => {
    const pipeline = finish[slot];
    if (!pipeline) throw new RangeError(`Metrics slot ${slot} of ${slots}.`);
    return bind(gpu, 'reduce partials', pipeline, [partials, metrics], () => [1, 1, 1]);
  };
  return {
    bindSquares: ({ x, span, metrics, slot }) => [
      bind(gpu, 'reduce squares', squares, [x, partials, span.buffer], () => [PARTIALS, 1, 1]),
      last(metrics, slot),
    ],
    bindDot: ({ x, y, span, metrics, slot }) => [
      bind(gpu, 'reduce dot', dot, [x, partials, span.buffer, y], () => [PARTIALS, 1, 1]),
      last(metrics, slot),
    ],
    release: () => gpu.release(partials),
  };
}
