/** The thin products of LoRA on a training step: x Aᵀ, h B, and the gradient's outer product. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createLowRank } from './low-rank';

const { rows, dim: width } = POCKET;

benchKernels('low rank', async (bench) => {
  const span = bench.span(rows);
  for (const rank of [1, 4, 16]) {
    const kernel = await createLowRank(bench.gpu, { rank, width });
    const [x, y] = [bench.floats(rows * width), bench.floats(rows * width)];
    const [m, h] = [bench.floats(rank * width), bench.floats(rows * rank)];
    const bytes = rows * width * 4;
    await bench.report(`down, rank ${rank}`, [kernel.bindDown({ x, m, h, span })], bytes);
    await bench.report(`up, rank ${rank}`, [kernel.bindUp({ h, m, y, span })], 2 * bytes);
    await bench.report(`outer, rank ${rank}`, [kernel.bindOuter({ h, x, g: m, span })], bytes);
  }
});
