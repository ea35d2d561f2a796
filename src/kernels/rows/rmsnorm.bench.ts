/** RMSNorm and its backward, for several numbers of invocations a row. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createRmsNorm } from './rmsnorm';

const { rows, dim } = POCKET;

benchKernels('rmsnorm', async (bench) => {
  const [x, y, dy] = [bench.floats(rows * dim), bench.floats(rows * dim), bench.floats(rows * dim)];
  const weight = bench.floats(dim);
  const span = bench.span(rows);
  const bytes = rows * dim * 4;
  for (const lanes of [undefined, 'thread', 4, 16] as const) {
    const norm = await createRmsNorm(bench.gpu, { dim, eps: 1e-5, lanes });
    const label = `lanes ${lanes ?? 'as chosen'}`;
    const forward = norm.bind({ x, weight, y, span });
    const backward = norm.bindBackward({ x, weight, dy, dx: y, accumulate: true, span });
    await bench.report(`rmsnorm, ${label}`, [forward], 2 * bytes);
    await bench.report(`rmsnorm backward, ${label}`, [backward], 4 * bytes);
  }
});
