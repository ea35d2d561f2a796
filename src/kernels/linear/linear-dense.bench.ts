/** Forward and dX of dense weights in both layouts. */
import { benchKernels } from '../gpu/bench.testing';
import { BATCHES, benchLinear, FEW_ROWS } from './linear-bench.testing';
import { createLinearDense } from './linear-dense';

for (const subgroups of [true, false]) {
  benchKernels(
    `dense linear layers, subgroups ${subgroups ? 'on' : 'off'}`,
    async (bench) => {
      const { gpu } = bench;
      const sizes = [...BATCHES, ...FEW_ROWS];
      await benchLinear(bench, sizes, async ([, k, n], { x, dy, y, dx, span }) => {
        const shape = { inFeatures: k, outFeatures: n };
        const outIn = await createLinearDense(gpu, { ...shape, layout: 'out_in' });
        const inOut = await createLinearDense(gpu, { ...shape, layout: 'in_out' });
        const weight = { data: bench.floats(n * k, 2) };
        const back = { dy, weight, dx, accumulate: false, span };
        return {
          ops: [
            ['out_in', outIn.bindForward({ x, weight, y, span })],
            ['out_in dX', outIn.bindBackward(back)],
            ['in_out', inOut.bindForward({ x, weight, y, span })],
            ['in_out dX', inOut.bindBackward(back)],
          ],
          release() {
            outIn.release();
            inOut.release();
            gpu.release(weight.data);
          },
        };
      });
    },
    { subgroups },
  );
}
