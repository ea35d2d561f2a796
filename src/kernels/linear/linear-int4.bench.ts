/** Forward and dX of int4 weights, and the forward for a few rows that decoding asks for. */
import { benchKernels, type KernelBench } from '../gpu/bench.testing';
import { BATCHES, benchLinear, FEW_ROWS } from './linear-bench.testing';
import { createLinearInt4, type Int4Weight } from './linear-int4';
import { createLinearInt4Rows, rowsTile } from './linear-int4-rows';

function weightOf(bench: KernelBench, k: number, n: number): Int4Weight {
  const data = bench.words((n * k) / 8, (i) => Math.imul(i, 0x9e3779b1));
  return { data, scales: bench.floats((n * k) / 32) };
}

for (const subgroups of [true, false]) {
  benchKernels(
    `int4 linear layers, subgroups ${subgroups ? 'on' : 'off'}`,
    async (bench) => {
      const { gpu } = bench;
      await benchLinear(bench, BATCHES, async ([, k, n], { x, dy, y, dx, span }) => {
        const kernel = await createLinearInt4(gpu, { inFeatures: k, outFeatures: n });
        const weight = weightOf(bench, k, n);
        const backward = kernel.bindBackward({ dy, weight, dx, accumulate: false, span });
        return {
          ops: [
            ['int4', kernel.bindForward({ x, weight, y, span })],
            ['int4 dX', backward],
          ],
          release() {
            kernel.release();
            gpu.release(weight.data, weight.scales);
          },
        };
      });
      await benchLinear(bench, FEW_ROWS, async ([rows, k, n], { x, y, span }) => {
        const sizes = { inFeatures: k, outFeatures: n };
        const few = await createLinearInt4Rows(gpu, { ...sizes, tile: rowsTile(gpu, rows) });
        const weight = weightOf(bench, k, n);
        return {
          ops: [['int4, few rows', few.bind({ x, weight, y, span })]],
          release() {
            few.release();
            gpu.release(weight.data, weight.scales);
          },
        };
      });
    },
    { subgroups },
  );
}
