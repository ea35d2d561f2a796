/** Parts of a step against what they need: layers, head, shared prefix. */
import type { Engine } from '../../src/engine/engine';
import type { Op } from '../../src/kernels/gpu/gpu';
import { relativeError } from '../../src/kernels/gpu/testing';
import { cost, median, timed } from '../clock';
import { loadStudent, setUpTraining, toyStudent, type TrainingSetup } from '../student';
import { TOY, TOY_TASK, type ToyTask } from '../toy';
import type { Bench, Metric, Suite } from '../types';
import { createProducts } from './kernels';

const SHARED: ToyTask = { virtualTokens: 100, batch: 16, textTokens: 60, promptTokens: 20 };

/** Measurements of the toy's phases that are averaged into a sample. */
const RUNS = 4;

type Phases = Record<'forward' | 'head' | 'backward', number>;

/** One gradient by phase: CPU milliseconds on software, else wall milliseconds. */
function measure({ host, software }: Bench, setup: TrainingSetup): Promise<Phases> {
  const clock = software ? async () => 1000 * (await host.cpuSeconds()) : undefined;
  return setup.trainer.measure(setup.batch, true, clock);
}

function medianPhases(all: readonly Phases[]): Phases {
  const of = (phase: keyof Phases) => median(all.map((phases) => phases[phase]));
  return { forward: of('forward'), head: of('head'), backward: of('backward') };
}

/** What one run of `ops` takes, waited for as {@link measure} waits for a phase. */
async function timeGemms(bench: Bench, { gpu }: Engine, ops: readonly Op[]): Promise<number> {
  const sample = await timed(bench, async () => {
    gpu.run(ops, 'gemms');
    await gpu.device.queue.onSubmittedWorkDone();
  });
  return cost(bench, sample);
}

async function toyParts(bench: Bench): Promise<Metric[]> {
  const engine = await loadStudent(bench, toyStudent());
  const setup = await setUpTraining(engine, TOY_TASK);
  const lossRows = TOY_TASK.batch * (TOY_TASK.textTokens - TOY_TASK.promptTokens + 1);
  const head = await createProducts(engine.gpu, lossRows, TOY.dim, TOY.vocabSize, false);
  const gemms = [head.forward, head.forward, head.backward];
  const phases: Phases[] = [];
  const gemmTimes: number[] = [];
  await measure(bench, setup);
  await timeGemms(bench, engine, gemms);
  for (let repeat = 0; repeat < bench.repeats; repeat++) {
    // Phases are short beside the grain of CPU time: several of them make a sample. The products that
    // the head is held against are timed in the same way, turn by turn.
    const runs: Phases[] = [];
    let gemmTime = 0;
    while (runs.length < RUNS) {
      runs.push(await measure(bench, setup));
      gemmTime += (await timeGemms(bench, engine, gemms)) / RUNS;
    }
    const mean = (of: keyof Phases) => runs.reduce((sum, run) => sum + run[of] / RUNS, 0);
    phases.push({ forward: mean('forward'), head: mean('head'), backward: mean('backward') });
    gemmTimes.push(gemmTime);
  }
  head.release();
  setup.trainer.destroy();
  engine.destroy();
  const { forward, head: headTime, backward } = medianPhases(phases);
  const unit = bench.software ? 'CPU ms' : 'ms';
  return [
    { metric: 'toy: layers forward', value: forward, unit },
    { metric: 'toy: head and divergence', value: headTime, unit },
    { metric: 'toy: layers backward', value: backward, unit },
    {
      metric: 'toy, one sequence: layers, step ÷ forward',
      value: (forward + backward) / forward,
      unit: '×',
      goal: 2.3,
      direction: 'lower',
    },
    {
      metric: 'toy: head and divergence ÷ its 3 GEMMs',
      value: headTime / median(gemmTimes),
      unit: '×',
      goal: 1.15,
      direction: 'lower',
    },
  ];
}

/** n = 100, T = 60, B = 16: the batch at once, and each sequence with a prefix of its own. */
async function sharedPrefix(bench: Bench): Promise<Metric[]> {
  const engine = await loadStudent(bench, toyStudent());
  // KL: the signs in TV's gradient flip on rounding.
  const together = await setUpTraining(engine, SHARED, 'kl');
  const alone = await setUpTraining(engine, { ...SHARED, batch: 1 }, 'kl');
  const { examples, teacher } = together.batch;
  const sequences = examples.map((example, e) => ({
    ...alone,
    batch: { family: 'divergence', examples: [example], teacher: [teacher[e]!] } as const,
  }));
  // The same gradient, or the comparison means nothing: the coefficients are those of the batch.
  const whole = await together.trainer.gradient(together.batch);
  const sum = new Float64Array(whole.gradient.length);
  for (const { trainer, batch } of sequences) {
    const { gradient } = await trainer.gradient(batch);
    gradient.forEach((value, i) => (sum[i]! += value));
  }
  const error = relativeError(whole.gradient, sum);
  const shared: Phases[] = [];
  const separate: Phases[] = [];
  for (let repeat = 0; repeat < bench.repeats; repeat++) {
    shared.push(await measure(bench, together));
    const total: Phases = { forward: 0, head: 0, backward: 0 };
    // Four of the equal sequences stand for all.
    for (const sequence of sequences.slice(0, 4)) {
      const phases = await measure(bench, sequence);
      for (const phase of ['forward', 'head', 'backward'] as const)
        total[phase] += 4 * phases[phase];
    }
    separate.push(total);
  }
  together.trainer.destroy();
  alone.trainer.destroy();
  engine.destroy();
  const [a, b] = [medianPhases(shared), medianPhases(separate)];
  return [
    {
      metric: 'n = 100, T = 60, B = 16: gradient, shared against separate',
      value: error,
      unit: 'rel',
      goal: 1e-4,
      direction: 'lower',
    },
    {
      metric: 'n = 100, T = 60, B = 16: layers, separate ÷ shared',
      value: (b.forward + b.backward) / (a.forward + a.backward),
      unit: '×',
      goal: 2,
      direction: 'higher',
    },
    {
      metric: 'n = 100, T = 60, B = 16: whole step, separate ÷ shared',
      value: (b.forward + b.head + b.backward) / (a.forward + a.head + a.backward),
      unit: '×',
    },
  ];
}

export const layersSuite: Suite = async (bench) => [
  ...(await toyParts(bench)),
  ...(await sharedPrefix(bench)),
];
