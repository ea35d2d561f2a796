/** The soft cap on the logits of a training step, forward and backward. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createSoftCap } from './soft-cap';

const { lossRows: rows, vocabulary: dim } = POCKET;

benchKernels('soft cap', async (bench) => {
  const kernel = await createSoftCap(bench.gpu, { dim, cap: 30 });
  const values = rows * dim;
  const [y, kept] = [bench.floats(values), bench.floats(values)];
  const span = bench.span(rows);
  await bench.report('soft cap', [kernel.bind({ y, span })], 2 * values * 4);
  await bench.report('soft cap, keeping', [kernel.bind({ y, kept, span })], 3 * values * 4);
  const backward = kernel.bindBackward({ dy: y, kept, span });
  await bench.report('soft cap backward', [backward], 3 * values * 4);
});
