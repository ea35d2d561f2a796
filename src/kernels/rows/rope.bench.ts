/** RoPE and its inverse on the queries of a training step, in place and out of place. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createRope } from './rope';

const { rows, heads, headDim } = POCKET;
const POSITIONS = 512;

benchKernels('rope', async (bench) => {
  const rope = await createRope(bench.gpu, { heads, headDim });
  const values = rows * heads * headDim;
  const [x, y] = [bench.floats(values), bench.floats(values)];
  const cos = bench.floats((POSITIONS * headDim) / 2);
  const sin = bench.floats((POSITIONS * headDim) / 2, 2);
  const positions = bench.words(rows, (i) => i % POSITIONS);
  const args = { cos, sin, positions, span: bench.span(rows) };
  const bytes = 2 * values * 4;
  await bench.report('rope', [rope.bind({ ...args, x, y })], bytes);
  await bench.report('rope in place', [rope.bind({ ...args, x, y: x })], bytes);
  await bench.report('rope inverse in place', [rope.bindInverse({ ...args, x, y: x })], bytes);
  const destination = bench.words(rows, (i) => rows - 1 - i);
  await bench.report('rope to pool', [rope.bind({ ...args, x, y, destination })], bytes);
});
