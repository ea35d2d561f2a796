/** Sampling one token for each of 64 sequences, and the step of their tables that follows it. */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createAdvance } from './advance';
import { createSample } from './sample';

const { vocabulary } = POCKET;
const SEQUENCES = 64;

benchKernels('sample', async (bench) => {
  const span = bench.span(SEQUENCES);
  const counter = bench.words(SEQUENCES);
  const sample = await createSample(bench.gpu, { vocabulary });
  for (const temperature of [0, 1]) {
    const settings = bench.gpu.uniform('settings', 16);
    bench.gpu.write(settings, new Float32Array([temperature, 0, 0, 0]));
    const op = sample.bind({
      logits: bench.floats(SEQUENCES * vocabulary),
      stream: bench.words(SEQUENCES),
      counter,
      settings,
      token: bench.words(SEQUENCES),
      logProb: bench.floats(SEQUENCES),
      span,
    });
    const label = temperature === 0 ? 'greedy' : 'sampled';
    await bench.report(`${label}, 64 rows`, [op], SEQUENCES * vocabulary * 4);
  }
  const advance = await createAdvance(bench.gpu);
  const [positions, self] = [bench.words(SEQUENCES), bench.words(SEQUENCES)];
  await bench.report('advance, 64 rows', [advance.bind({ positions, self, counter, span })]);
});
