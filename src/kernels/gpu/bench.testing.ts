/**
 * What the benches beside the kernels share: a device, inputs, and the time that operations take.
 *
 *   npx vitest bench --run --project dawn src/kernels/rows/rmsnorm.bench.ts      (Node on Dawn)
 *   npx vitest bench --run --project browser src/kernels/rows/rmsnorm.bench.ts   (Chromium)
 */
import { bench } from 'vitest';
import { Gpu, Span, type Op } from './gpu';
import { normals } from './testing';

/** Sizes of a training step of the pocket model: packed rows, its widths, rows that carry loss. */
export const POCKET = {
  rows: 912,
  dim: 128,
  hidden: 384,
  heads: 4,
  kvHeads: 2,
  headDim: 32,
  lossRows: 576,
  vocabulary: 2048,
} as const;

/** Milliseconds of `ops`, run once each: the best of several rounds of about 40 ms. */
export async function milliseconds(gpu: Gpu, ops: readonly Op[], rounds = 7): Promise<number> {
  const time = async (repeats: number): Promise<number> => {
    const start = performance.now();
    gpu.run(Array.from({ length: repeats }, () => ops).flat());
    await gpu.device.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
  await time(2);
  const repeats = Math.max(1, Math.min(400, Math.round(40 / (await time(1)))));
  let best = Infinity;
  for (let i = 0; i < rounds; i++) best = Math.min(best, (await time(repeats)) / repeats);
  gpu.check();
  return best;
}

/** A bench under way: its buffers live until it ends. */
export class KernelBench {
  constructor(readonly gpu: Gpu) {}

  /** Normal values. */
  floats(count: number, seed = 1): GPUBuffer {
    return this.gpu.upload('floats', normals(seed, count));
  }

  /** u32: 0, 1, …, count − 1, or what `at` says of them. */
  words(count: number, at: (i: number) => number = (i) => i): GPUBuffer {
    return this.gpu.upload(
      'words',
      Uint32Array.from({ length: count }, (_, i) => at(i)),
    );
  }

  span(rows: number, start = 0): Span {
    const span = new Span(this.gpu, 'bench');
    span.set(start, rows);
    return span;
  }

  /** Times `ops` and prints a line; with the bytes that they must move, how fast they do. */
  async report(label: string, ops: readonly Op[], bytes?: number): Promise<void> {
    const time = await milliseconds(this.gpu, ops);
    const rate = bytes === undefined ? '' : `, ${(bytes / time / 1e6).toPrecision(2)} GB/s`;
    console.log(`${label.padEnd(40)} ${time.toFixed(3)} ms${rate}`);
  }
}

/** Defines a bench on a device of its own, subgroups on where offered unless they are switched off. */
export function benchKernels(
  name: string,
  run: (bench: KernelBench) => Promise<void>,
  options: { subgroups?: boolean } = {},
): void {
  bench(
    name,
    async () => {
      const gpu = await Gpu.create(navigator.gpu, options);
      try {
        await run(new KernelBench(gpu));
      } finally {
        gpu.destroy();
      }
    },
    // It measures by itself; once is enough.
    { iterations: 1, time: 0, warmupIterations: 0, warmupTime: 0 },
  );
}
