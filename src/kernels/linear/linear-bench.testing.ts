/**
 * What the benches of the linear layers share: shapes, and GFLOP/s beside what multiply-adds alone
 * reach in the same process (fma.ceiling.ts), so that figures compare across machines.
 */
import { type KernelBench, milliseconds } from '../gpu/bench.testing';
import type { Op, Span } from '../gpu/gpu';
import {
  type Ceiling,
  createLoopedCeiling,
  createRegisterCeiling,
  createTileCeiling,
} from './fma.ceiling';

/** Rows, inputs and outputs of a layer. */
export type LinearSize = readonly [rows: number, k: number, n: number];

/** A packed training batch, its head, decoding 64 sequences. */
export const BATCHES: readonly LinearSize[] = [
  [900, 128, 128],
  [900, 128, 64],
  [900, 128, 384],
  [900, 384, 128],
  [576, 128, 2048],
  [64, 128, 128],
  [64, 384, 128],
  [64, 128, 2048],
];
/** Decoding one sequence, or a few. */
export const FEW_ROWS: readonly LinearSize[] = [
  [1, 128, 128],
  [1, 128, 2048],
  [4, 128, 2048],
];

/** Input and output of a layer and their gradients: x and dx [rows, K], y and dy [rows, N]. */
export interface LinearBuffers {
  x: GPUBuffer;
  dy: GPUBuffer;
  y: GPUBuffer;
  dx: GPUBuffer;
  span: Span;
}

interface Prepared {
  /** What is timed, by name. */
  ops: readonly (readonly [string, Op])[];
  release(): void;
}

/** Prints one line a size: GFLOP/s, and the share of each ceiling: registers / looped / the tile. */
export async function benchLinear(
  bench: KernelBench,
  sizes: readonly LinearSize[],
  prepare: (size: LinearSize, buffers: LinearBuffers) => Promise<Prepared>,
): Promise<void> {
  const { gpu } = bench;
  const ceilings = [
    await createRegisterCeiling(gpu),
    await createLoopedCeiling(gpu),
    await createTileCeiling(gpu, { rows: 16, columns: 16, lanes: 4, quads: gpu.subgroups }),
  ];
  const { vendor, architecture, subgroups } = gpu.description;
  console.log(`${vendor} ${architecture}, subgroups ${subgroups ? 'on' : 'off'}`);
  for (const size of sizes) {
    const [rows, k, n] = size;
    const buffers = {
      x: bench.floats(rows * k, 3),
      dy: bench.floats(rows * n, 4),
      y: gpu.storage('y', rows * n * 4),
      dx: gpu.storage('dx', rows * k * 4),
    };
    const { ops, release } = await prepare(size, { ...buffers, span: bench.span(rows) });
    const rate = async ({ op, flops }: Pick<Ceiling, 'op' | 'flops'>) =>
      flops / 1e6 / (await milliseconds(gpu, [op], 4));
    const limits: number[] = [];
    for (const ceiling of ceilings) limits.push(await rate(ceiling));
    const cells: string[] = [];
    for (const [name, op] of ops) {
      const gflops = await rate({ op, flops: 2 * rows * k * n });
      const shares = limits.map((limit) => Math.round((100 * gflops) / limit)).join(' / ');
      cells.push(`${name} ${gflops.toFixed(1)} (${shares} %)`);
    }
    const reached = limits.map((limit) => limit.toFixed(1)).join(' / ');
    console.log(`M ${rows} K ${k} N ${n}, ceilings ${reached}: ${cells.join(', ')}`);
    release();
    gpu.release(...Object.values(buffers));
  }
  for (const ceiling of ceilings) ceiling.release();
}
