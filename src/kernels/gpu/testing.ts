/**
 * What kernel tests share: a device for each feature set that the adapter offers, seeded random
 * arrays, relative error, central differences. Runs in the browser and in Node on Dawn.
 */
import { relativeError } from '../../formats/relative-error';
import { Gpu } from './gpu';

/** Devices to run a suite on: with subgroups (where offered) and without. */
export const GPU_VARIANTS = [
  { name: 'subgroups', subgroups: true },
  { name: 'no subgroups', subgroups: false },
] as const;

const devices = new Map<boolean, Promise<Gpu>>();

/** One device a variant for the whole test file: making one costs a quarter of a second. */
export function testGpu(subgroups: boolean): Promise<Gpu> {
  let gpu = devices.get(subgroups);
  if (!gpu) {
    gpu = Gpu.create(navigator.gpu, { subgroups });
    devices.set(subgroups, gpu);
  }
  return gpu;
}

/** mulberry32: small, seeded, good enough for test data. */
export function random(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = a;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Normal values, rounded to f32 so that the f64 reference starts from the same numbers. */
export function normals(seed: number, count: number, scale = 1): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length: count }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - next()));
    return scale * radius * Math.cos(2 * Math.PI * next());
  });
}

export { relativeError };

/** Central differences of the scalar `f` at `x` (f64), one entry each in `indices`. */
export function centralDifferences(
  f: (x: Float64Array) => number,
  x: ArrayLike<number>,
  indices: readonly number[],
  step = 1e-5,
): number[] {
  const at = Float64Array.from(x);
  return indices.map((i) => {
    const value = at[i]!;
    at[i] = value + step;
    const above = f(at);
    at[i] = value - step;
    const below = f(at);
    at[i] = value;
    return (above - below) / (2 * step);
  });
}
