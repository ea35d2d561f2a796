/** Copies, gathers, scatters and clears of rows. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createRows } from './rows';

const { rows, dim } = POCKET;

benchKernels('rows', async (bench) => {
  const kernel = await createRows(bench.gpu, { dim, add: true });
  const [x, y] = [bench.floats(rows * dim), bench.floats(rows * dim)];
  const index = bench.words(rows, (i) => rows - 1 - i);
  const span = bench.span(rows);
  const bytes = rows * dim * 4;
  const copy = { x, y, span, place: span };
  await bench.report('copy', [kernel.bindCopy(copy)], 2 * bytes);
  await bench.report('add', [kernel.bindAdd(copy)], 3 * bytes);
  await bench.report('gather', [kernel.bindGather({ x, y, index, span })], 2 * bytes);
  await bench.report('scatter', [kernel.bindScatter({ x, y, index, span })], 2 * bytes);
  await bench.report('clear', [kernel.bindClear({ y, span })], bytes);
});
