/** Deterministic sums: the gradient norm of a soft prompt, and of an adapter of 2²⁰ parameters. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createReduce } from './reduce';

benchKernels('reduce', async (bench) => {
  const reduce = await createReduce(bench.gpu, { slots: 2 });
  const metrics = bench.gpu.storage('metrics', 8);
  for (const count of [16 * POCKET.dim, 2 ** 20]) {
    const [x, y] = [bench.floats(count), bench.floats(count)];
    const args = { x, span: bench.span(count), metrics, slot: 1 };
    await bench.report(`sum of squares, ${count}`, reduce.bindSquares(args), count * 4);
    await bench.report(`dot product, ${count}`, reduce.bindDot({ ...args, y }), count * 8);
  }
});
