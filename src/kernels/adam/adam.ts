/** Adam with gradient clipping by global norm, all on the GPU. Formula in adam.wgsl. */
import source from './adam.wgsl?raw';
import { bind, spread, type Gpu, type Op } from '../gpu/gpu';
import { positive } from '../rows/reduce-lanes';
import { specialise } from '../gpu/wgsl';

export interface AdamShape {
  /** Number of parameters. */
  count: number;
  /** Entry of the metrics buffer that holds Σg² (written by `reduce`). */
  normSlot: number;
}

export interface AdamSettings {
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  /** The gradient is scaled down to this norm; Infinity switches clipping off. */
  maxNorm: number;
}

export const ADAM_DEFAULTS: AdamSettings = {
  lr: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  maxNorm: 1,
};

export interface AdamArgs {
  /** [count], updated. */
  parameter: GPUBuffer;
  /** [count], not clipped. */
  gradient: GPUBuffer;
  /** First moment [count], zeroed before the first step. */
  m: GPUBuffer;
  /** Second moment [count], zeroed before the first step. */
  v: GPUBuffer;
  /** [slots] f32 */
  metrics: GPUBuffer;
}

export interface AdamKernel {
  bind(args: AdamArgs): Op;
  /** Sets what the next submit uses; `step` counts from 1 and enters the bias corrections. */
  set(settings: AdamSettings, step: number): void;
  release(): void;
}

const GROUP = 64;
/** Stands for Infinity, which WGSL does not promise to carry. */
const NO_CLIPPING = 3e38;

/** @throws RangeError on a count below 1; `set` throws it on a step below 1. */
export async function createAdam(gpu: Gpu, { count, normSlot }: AdamShape): Promise<AdamKernel> {
  positive('count', count);
  const pipeline = await gpu.pipeline(
    'adam',
    specialise(source, { COUNT: count, NORM_SLOT: normSlot, GROUP }),
  );
  const uniform = gpu.uniform('adam', 32);
  return {
    bind: ({ parameter, gradient, m, v, metrics }) =>
      bind(gpu, 'adam', pipeline, [parameter, gradient, m, v, metrics, uniform], () =>
        spread(Math.ceil(count / GROUP)),
      ),
    set: ({ lr, beta1, beta2, eps, maxNorm }, step) => {
      positive('step', step);
      const numbers = [
        lr / (1 - beta1 ** step),
        beta1,
        beta2,
        1 - beta1,
        1 - beta2,
        1 - beta2 ** step,
        eps,
        Math.min(maxNorm, NO_CLIPPING),
      ];
      gpu.write(uniform, new Float32Array(numbers));
    },
    release: () => gpu.release(uniform),
  };
}
