/**
 * Milliseconds of the row-wise kernels at the sizes of a training step of the pocket model, for a
 * few numbers of invocations per row.
 *
 *   npx vitest bench --run --project dawn src/kernels/rows/rowwise.bench.ts      (Node on Dawn)
 *   npx vitest bench --run --project browser src/kernels/rows/rowwise.bench.ts   (Chromium)
 */
import { bench } from 'vitest';
import { createAdam } from '../adam/adam';
import { createDivergence } from '../loss/divergence';
import { createLogProb } from '../loss/divergence-logprob';
import { createFakeQuant } from './fake-quant';
import { Gpu, Span, type Op } from '../gpu/gpu';
import { createReduce } from './reduce';
import { createRmsNorm } from './rmsnorm';
import { createRows } from './rows';
import { createSample } from '../sample/sample';
import { createSwiglu } from './swiglu';
import { normals } from '../gpu/testing';

const ROWS = 912;
const DIM = 128;
const HIDDEN = 384;
const LOSS_ROWS = 576;
const VOCABULARY = 2048;

/** Milliseconds of `ops`: the best of several rounds of about 40 ms. */
async function milliseconds(gpu: Gpu, ops: readonly Op[]): Promise<number> {
  const time = async (repeats: number): Promise<number> => {
    const start = performance.now();
    gpu.run(Array.from({ length: repeats }, () => ops).flat());
    await gpu.device.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
  await time(2);
  const repeats = Math.max(1, Math.min(200, Math.round(40 / (await time(1)))));
  let best = Infinity;
  for (let round = 0; round < 7; round++) best = Math.min(best, (await time(repeats)) / repeats);
  return best;
}

export async function benchRowwise(gpu: Gpu, log: (line: string) => void): Promise<void> {
  const report = async (label: string, ops: readonly Op[]): Promise<void> =>
    log(`${label.padEnd(36)} ${(await milliseconds(gpu, ops)).toFixed(3)} ms`);
  const rows = new Span(gpu, 'rows');
  rows.set(0, ROWS);
  const loss = new Span(gpu, 'loss');
  loss.set(0, LOSS_ROWS);
  const sequences = new Span(gpu, 'sequences');
  sequences.set(0, 64);
  const parameters = new Span(gpu, 'parameters');
  parameters.set(0, 16 * DIM);
  const floats = (count: number): GPUBuffer => gpu.upload('floats', normals(1, count));
  const words = (count: number): GPUBuffer =>
    gpu.upload(
      'words',
      Uint32Array.from({ length: count }, (_, i) => i),
    );
  const [x, y, dy] = [floats(ROWS * DIM), floats(ROWS * DIM), floats(ROWS * DIM)];
  const [gate, up, h] = [floats(ROWS * HIDDEN), floats(ROWS * HIDDEN), floats(ROWS * HIDDEN)];
  const [student, teacher] = [floats(LOSS_ROWS * VOCABULARY), floats(LOSS_ROWS * VOCABULARY)];
  const weight = floats(DIM);
  const index = words(LOSS_ROWS + 1);
  const perRow = floats(LOSS_ROWS);

  const copy = await createRows(gpu, { dim: DIM });
  await report('rows gather', [copy.bindGather({ x, y, index, span: loss })]);
  for (const lanes of ['thread', 4, 16] as const) {
    const norm = await createRmsNorm(gpu, { dim: DIM, eps: 1e-5, lanes });
    await report(`rmsnorm, lanes ${lanes}`, [norm.bind({ x, weight, y, span: rows })]);
    await report(`rmsnorm backward, lanes ${lanes}`, [
      norm.bindBackward({ x, weight, dy, dx: y, accumulate: true, span: rows }),
    ]);
  }
  const swiglu = await createSwiglu(gpu, { dim: HIDDEN });
  await report('swiglu', [swiglu.bind({ gate, up, h, span: rows })]);
  await report('swiglu backward', [swiglu.bindBackward({ dh: h, gate, up, span: rows })]);
  for (const objective of ['tv', 'kl', 'reverse-kl', 'js'] as const) {
    for (const lanes of [4, 16, 64]) {
      const kernel = await createDivergence(gpu, { vocabulary: VOCABULARY, objective, lanes });
      await report(`divergence ${objective}, lanes ${lanes}`, [
        kernel.bind({
          studentLogits: student,
          teacherLogits: teacher,
          coef: perRow,
          w: gpu.storage('w', LOSS_ROWS * 4),
          rhoStart: index,
          rhoToken: words(LOSS_ROWS + 1),
          rhoProb: floats(LOSS_ROWS + 1),
          rowLoss: gpu.storage('loss', LOSS_ROWS * 4),
          span: loss,
        }),
      ]);
    }
  }
  const logProb = await createLogProb(gpu, { vocabulary: VOCABULARY });
  await report('log-probability', [
    logProb.bind({ logits: student, token: index, y: perRow, span: loss }),
  ]);
  const settings = gpu.uniform('settings', 16);
  gpu.write(settings, new Float32Array([1, 1, 0, 0]));
  const sample = await createSample(gpu, { vocabulary: VOCABULARY });
  await report('sample, 64 rows', [
    sample.bind({
      logits: student,
      stream: words(64),
      counter: words(64),
      settings,
      token: words(64),
      logProb: floats(64),
      span: sequences,
    }),
  ]);
  const quantise = await createFakeQuant(gpu, { dim: DIM });
  const prompt = new Span(gpu, 'prompt');
  prompt.set(0, 16);
  await report('fake-quant, 16 rows', [quantise.bind({ x, y, span: prompt, quantise: true })]);
  const metrics = gpu.storage('metrics', 8);
  const reduce = await createReduce(gpu, { slots: 2 });
  const adam = await createAdam(gpu, { count: 16 * DIM, normSlot: 1 });
  await report('norm and Adam, 2048 parameters', [
    ...reduce.bindSquares({ x: dy, span: parameters, metrics, slot: 1 }),
    adam.bind({ parameter: x, gradient: dy, m: y, v: h, metrics }),
  ]);
}

bench(
  'row-wise kernels',
  async () => {
    const gpu = await Gpu.create(navigator.gpu);
    await benchRowwise(gpu, (line) => console.log(line));
    gpu.destroy();
  },
  { iterations: 1, time: 0, warmupIterations: 0, warmupTime: 0 },
);
