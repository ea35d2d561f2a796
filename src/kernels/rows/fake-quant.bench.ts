/** Fake quantisation of sixteen vectors, and the copy in its place. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createFakeQuant } from './fake-quant';

const { dim } = POCKET;
const ROWS = 16;

benchKernels('fake quantisation', async (bench) => {
  const kernel = await createFakeQuant(bench.gpu, { dim });
  const [x, y] = [bench.floats(ROWS * dim), bench.floats(ROWS * dim)];
  const span = bench.span(ROWS);
  for (const quantise of [true, false]) {
    const label = quantise ? 'fake-quant, 16 rows' : 'copy, 16 rows';
    await bench.report(label, [kernel.bind({ x, y, span, quantise })]);
  }
});
