/** Embedding lookup in f32, f16 and int4 tables. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createEmbedding } from './embedding';
import { createEmbeddingInt4 } from './embedding-int4';

const { rows, dim, vocabulary } = POCKET;

benchKernels('embedding', async (bench) => {
  const token = bench.words(rows, (i) => (i * 37) % vocabulary);
  const y = bench.floats(rows * dim);
  const span = bench.span(rows);
  const written = rows * dim * 4;
  for (const stored of ['f32', 'f16'] as const) {
    const kernel = await createEmbedding(bench.gpu, { dim, vocabulary, stored });
    const bytes = stored === 'f32' ? 4 : 2;
    const table =
      stored === 'f32'
        ? bench.floats(vocabulary * dim)
        : bench.words((vocabulary * dim) / 2, () => 0x3c003c00);
    const ops = [kernel.bind({ table, token, y, span })];
    await bench.report(`embedding ${stored}`, ops, written + rows * dim * bytes);
  }
  const int4 = await createEmbeddingInt4(bench.gpu, { dim, vocabulary, zeroPoints: false });
  const table = {
    data: bench.words((vocabulary * dim) / 8, (i) => i * 0x9e3779b1),
    scales: bench.floats((vocabulary * dim) / 32),
  };
  const ops = [int4.bind({ table, token, y, span })];
  await bench.report('embedding int4', ops, written + (rows * dim * 5) / 8);
});
