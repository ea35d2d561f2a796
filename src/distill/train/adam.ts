/** Adam on the CPU, for what is too small for the GPU (formula in kernels/adam/adam.wgsl). */

export const BETA1 = 0.9;
const BETA2 = 0.999;
const EPSILON = 1e-8;

type Values = Float32Array | Float64Array;

/** Values and their moments, all of one length. */
export interface AdamArrays {
  values: Values;
  first: Values;
  second: Values;
}

/**
 * One update in place, in f64 and rounded to the arrays.
 * @param updates of these moments, this one included: counts from 1
 */
export function adamUpdate(
  { values, first, second }: AdamArrays,
  gradient: ArrayLike<number>,
  learningRate: number,
  updates: number,
): void {
  const correct1 = 1 - BETA1 ** updates;
  const correct2 = 1 - BETA2 ** updates;
  for (let i = 0; i < values.length; i++) {
    const g = gradient[i]!;
    first[i] = BETA1 * first[i]! + (1 - BETA1) * g;
    second[i] = BETA2 * second[i]! + (1 - BETA2) * g * g;
    const m = first[i]! / correct1;
    const v = second[i]! / correct2;
    values[i]! -= (learningRate * m) / (Math.sqrt(v) + EPSILON);
  }
}

/** What gradients of this global norm are multiplied with, so that it is at most `clipNorm`. */
export function clipScale(norm: number, clipNorm: number): number {
  return Math.min(1, clipNorm / Math.max(norm, 1e-30));
}
