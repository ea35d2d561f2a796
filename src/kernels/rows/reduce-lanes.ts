/** Reductions over the invocations of a workgroup, shared by the kernels that reduce rows. */
import type { Gpu } from '../gpu/gpu';
import lanesSource from './reduce-lanes.wgsl?raw';
import rowsSource from './reduce-rows.wgsl?raw';
import { specialise, type Constants, type Flags } from '../gpu/wgsl';

/**
 * Invocations per row. A software adapter runs four in one SIMD register and pays for every
 * barrier, so it gets four (more only to keep f32 sums of long rows short); a GPU wants enough of
 * them to hide memory latency.
 */
export function lanesFor(gpu: Gpu, width: number): number {
  const wanted = gpu.description.isFallbackAdapter ? width / 4096 : width / 8;
  const least = gpu.description.isFallbackAdapter ? 4 : 32;
  let lanes = least;
  while (lanes < wanted && lanes < 256) lanes *= 2;
  return lanes;
}

/**
 * `source` with `lanes_sum` and `lanes_max` in front of it. Sets the constant LANES and the flag
 * SUBGROUPS.
 * @throws RangeError where `lanes` is no power of two in 4..256.
 */
export function withLanes(
  gpu: Gpu,
  source: string,
  lanes: number,
  constants: Constants = {},
  flags: Flags = {},
): string {
  if (!Number.isInteger(Math.log2(lanes)) || lanes < 4 || lanes > 256) {
    throw new RangeError(`A row is reduced by 4..256 invocations (a power of two), not ${lanes}.`);
  }
  return specialise(
    `${lanesSource}\n${source}`,
    { ...constants, LANES: lanes },
    { ...flags, SUBGROUPS: gpu.subgroups, ONE_SUBGROUP: lanes === 4 },
  );
}

/**
 * `withLanes` for a source that reads rows of `length` elements as WIDTH values: reduce-rows.wgsl
 * stands in front of it too.
 * @param lanes default: chosen from the adapter
 */
export function withRows(
  gpu: Gpu,
  source: string,
  { length, lanes = lanesFor(gpu, length) }: { length: number; lanes?: number },
  constants: Constants = {},
  flags: Flags = {},
): string {
  const vec4 = length % 4 === 0;
  return withLanes(
    gpu,
    `${rowsSource}\n${source}`,
    lanes,
    { ...constants, WIDTH: vec4 ? length / 4 : length },
    { ...flags, VEC4: vec4 },
  );
}

/** @throws RangeError unless `value` is a whole number of at least 1. */
export function positive(name: string, value: number): void {
  if (!Number.isInteger(value) || value < 1) {
    throw new RangeError(`${name} is ${value}; it has to be a whole number of at least 1.`);
  }
}
