/** What one trainer needs beside the kernels that all trainers share. */
import type { Gpu } from '../kernels/gpu/gpu';
import { createRows, type RowsKernel } from '../kernels/rows/rows';
import { createLoss } from './loss-kernels';
import type { LossMaker } from './loss-head';
import { createOptimiserKernels, type OptimiserKernels } from './optimiser';
import type { MemoryPlan } from './plan';
import { createTrainable } from './trainable/create';
import { trainableSize } from './trainable/shape';
import type { Trainable } from './trainable/trainable';
import type { TrainerOptions } from './types';
import type { DecoderWeights } from './weights';

export interface TrainerKernels {
  trainable: Trainable;
  makeLoss: LossMaker;
  optimiser: OptimiserKernels;
  /** How gradients of several passes add up; null where there is one pass. */
  adding: { copy: RowsKernel; add: RowsKernel } | null;
}

/** What is made here is the trainer's to release. */
export async function createTrainerKernels(
  gpu: Gpu,
  weights: DecoderWeights,
  { trainable: shape, ...losses }: TrainerOptions,
  plan: MemoryPlan,
): Promise<TrainerKernels> {
  const { length, rowWidth: dim } = trainableSize(shape, weights.config);
  const several = plan.passes > 1;
  const [trainable, makeLoss, optimiser, copy, add] = await Promise.all([
    createTrainable(gpu, weights, shape),
    createLoss(gpu, weights, losses),
    createOptimiserKernels(gpu, length),
    several ? createRows(gpu, { dim }) : null,
    several ? createRows(gpu, { dim, add: true }) : null,
  ]);
  return { trainable, makeLoss, optimiser, adding: copy && add && { copy, add } };
}
