/** Adam behind the gradient's norm, for a soft prompt and for an adapter of 2²⁰ parameters. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createReduce } from '../rows/reduce';
import { ADAM_DEFAULTS, createAdam } from './adam';

benchKernels('adam', async (bench) => {
  const reduce = await createReduce(bench.gpu, { slots: 2 });
  const metrics = bench.gpu.storage('metrics', 8);
  for (const count of [16 * POCKET.dim, 2 ** 20]) {
    const adam = await createAdam(bench.gpu, { count, normSlot: 1 });
    adam.set(ADAM_DEFAULTS, 1);
    const [parameter, gradient] = [bench.floats(count), bench.floats(count)];
    const m = bench.gpu.storage('m', count * 4);
    const v = bench.gpu.storage('v', count * 4);
    const update = adam.bind({ parameter, gradient, m, v, metrics });
    const norm = reduce.bindSquares({ x: gradient, span: bench.span(count), metrics, slot: 1 });
    await bench.report(`Adam, ${count}`, [update], 7 * count * 4);
    await bench.report(`norm and Adam, ${count}`, [...norm, update], 8 * count * 4);
  }
});
