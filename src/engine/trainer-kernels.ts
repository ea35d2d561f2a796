/** What a trainer is asked for, and the kernels that it needs beside those that all trainers share. */
import { createFakeQuant } from '../kernels/rows/fake-quant';
import type { Gpu } from '../kernels/gpu/gpu';
import { createRows } from '../kernels/rows/rows';
import { Adapter } from './adapter';
import { type AdapterShape, SLICE_FLOATS } from './adapter-shape';
import { createLoss } from './loss-kernels';
import { createOptimiserKernels } from './optimiser';
import type { MemoryPlan } from './plan';
import type { EngineObjective } from './types';
import type { DecoderWeights } from './weights';

export interface TrainerOptions {
  /** Length of the soft prompt; 0 where something else is trained. */
  virtualTokens: number;
  /** What is trained instead of a soft prompt. */
  adapter?: AdapterShape;
  objective: EngineObjective;
  /** Of the same family: what steps with `warmUp` minimise instead. */
  warmUp?: EngineObjective;
  /**
   * Most packed positions of one batch: prompts and paths, the soft prompt not counted. Token losses
   * take a few more of them (token-rows.ts).
   */
  maxRows: number;
  /** Most loss positions of one batch. */
  maxLossRows: number;
  /** Most packed positions of one example; a batch can then be split. Default: `maxRows`. */
  maxExampleRows?: number;
  /** Gradient norm above which the gradient is scaled down. */
  clipNorm: number;
  /** Most GPU bytes beyond the weights. Default: 1 GiB. */
  budgetBytes?: number;
  /** Leave the planner less choice: what to keep, and packed positions of a pass at most. */
  keep?: 'layers' | 'inputs';
  passRows?: number;
}

export type TrainerKernels = Awaited<ReturnType<typeof createTrainerKernels>>;

/** What one trainer needs beside the kernels that all share; it is the trainer's to release. */
export async function createTrainerKernels(
  gpu: Gpu,
  weights: DecoderWeights,
  { virtualTokens, adapter: shape, ...options }: TrainerOptions,
  plan: MemoryPlan,
) {
  const { dim } = weights.config;
  const adapter = shape ? await Adapter.create(gpu, weights, shape, { training: true }) : null;
  const count = adapter?.layout.length ?? virtualTokens * dim;
  const width = adapter ? SLICE_FLOATS : dim;
  const several = plan.passes > 1;
  const [losses, optimiser, quant, copying, adding] = await Promise.all([
    createLoss(gpu, weights, options),
    createOptimiserKernels(gpu, count),
    adapter ? null : createFakeQuant(gpu, { dim }),
    several ? createRows(gpu, { dim: width }) : null,
    several ? createRows(gpu, { dim: width, add: true }) : null,
  ]);
  return { adapter, count, width, losses, optimiser, quant, copying, adding };
}
