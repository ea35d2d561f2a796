/**
 * Deterministic sums on the GPU: Σx² (a gradient's squared norm) and Σx·y (weighted losses), each
 * into one slot of a metrics buffer. Formula in reduce.wgsl. The order of additions depends on
 * nothing but the number of elements, so a run repeats bit for bit on one device.
 */
import { bind, type Gpu, type Op, type Span } from '../gpu/gpu';
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
  /** Frees what the kernel owns. */
  release(): void;
}

const LANES = 64;
const PARTIALS = 32;

/** @throws RangeError on no slots; binding throws it on a slot that is not there. */
export async function createReduce(gpu: Gpu, { slots }: ReduceShape): Promise<ReduceKernel> {
  if (!Number.isInteger(slots) || slots < 1) throw new RangeError(`${slots} metrics slots.`);
  const make = (PARTIAL: boolean): Promise<GPUComputePipeline> =>
    gpu.pipeline('reduce', withLanes(gpu, source, LANES, { PARTIALS }, { PARTIAL }));
  const [partial, finish] = await Promise.all([make(true), make(false)]);
  // Dispatches of one queue run in order, so all sums share the scratch.
  const partials = gpu.storage('reduce partials', PARTIALS * 4);
  const indices = Array.from({ length: slots }, (_, slot) => {
    const index = gpu.uniform(`reduce slot ${slot}`, 16);
    gpu.write(index, new Uint32Array([slot, 0, 0, 0]));
    return index;
  });
  const sum = ({ x, y, span, metrics, slot }: ReduceArgs & { y: GPUBuffer }): Op[] => {
    const index = indices[slot];
    if (!index) throw new RangeError(`Metrics slot ${slot} of ${slots}.`);
    return [
      bind(gpu, 'reduce', partial, [x, partials, span.buffer, y], () => [PARTIALS, 1, 1]),
      bind(gpu, 'reduce partials', finish, [partials, metrics, index], () => [1, 1, 1]),
    ];
  };
  return {
    bindSquares: (args) => sum({ ...args, y: args.x }),
    bindDot: sum,
    release: () => gpu.release(partials, ...indices),
  };
}
