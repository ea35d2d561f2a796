/** SwiGLU and GeGLU, forward and backward. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createSwiglu } from './swiglu';

const { rows, hidden: dim } = POCKET;

benchKernels('swiglu', async (bench) => {
  const values = rows * dim;
  const span = bench.span(rows);
  for (const activation of ['silu', 'gelu-tanh'] as const) {
    const kernel = await createSwiglu(bench.gpu, { dim, activation });
    // Backward works in place: a repeat's result is the next one's input, which takes no other time.
    const [gate, up, h] = [bench.floats(values), bench.floats(values, 2), bench.floats(values, 3)];
    await bench.report(activation, [kernel.bind({ gate, up, h, span })], 3 * values * 4);
    const backward = kernel.bindBackward({ dh: h, gate, up, span });
    await bench.report(`${activation} backward`, [backward], 5 * values * 4);
  }
});
