/** Adam with clipping by global norm in f64; updates its arrays in place. */
import type { AdamSettings } from './adam';

export interface AdamState {
  parameter: Float64Array;
  m: Float64Array;
  v: Float64Array;
}

/** One step; `step` counts from 1. */
export function adamReference(
  state: AdamState,
  gradient: ArrayLike<number>,
  { lr, beta1, beta2, eps, maxNorm }: AdamSettings,
  step: number,
): void {
  const norm = Math.hypot(...Array.from(gradient));
  const clip = Math.min(1, maxNorm / (norm + 1e-6));
  for (let i = 0; i < state.parameter.length; i++) {
    const g = gradient[i]! * clip;
    state.m[i] = beta1 * state.m[i]! + (1 - beta1) * g;
    state.v[i] = beta2 * state.v[i]! + (1 - beta2) * g * g;
    const mean = state.m[i]! / (1 - beta1 ** step);
    const spread = Math.sqrt(state.v[i]! / (1 - beta2 ** step)) + eps;
    state.parameter[i]! -= (lr * mean) / spread;
  }
}
