/** 1,000 steps: bytes on the GPU must not grow, steps must not slow down. */
import { median, type Sample, cost, timed } from '../clock';
import { loadStudent, setUpTraining, toyStudent, type TrainingSetup } from '../student';
import { TOY, type ToyShape, type ToyTask } from '../toy';
import type { Bench, Suite } from '../types';

/** Small, so that a thousand steps take half a minute on software. */
const SHAPE: ToyShape = {
  ...TOY,
  ...{ dim: 64, layers: 2, heads: 4, kvHeads: 2, headDim: 16, ffnDim: 128, vocabSize: 2048 },
};
const TASK: ToyTask = { virtualTokens: 8, batch: 2, textTokens: 24, promptTokens: 8 };
const STEPS = 1000;
const BLOCK = 25;
/** Blocks of each trainer that are compared, turn by turn. */
const ROUNDS = 16;

async function block(bench: Bench, setup: TrainingSetup): Promise<number> {
  const sample: Sample = await timed(bench, async () => {
    for (let i = 0; i < BLOCK; i++) await setup.step();
  });
  return cost(bench, sample) / BLOCK;
}

/**
 * Steps of several trainers, turn by turn, whose order turns too: slow spells of the machine and what one
 * block leaves to the next meet all of them. Median of each one's time ÷ that of the last in the round.
 */
async function against(bench: Bench, trainers: readonly TrainingSetup[]): Promise<number[]> {
  const ratios = trainers.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    const times = new Array<number>(trainers.length);
    for (let turn = 0; turn < trainers.length; turn++) {
      const at = (turn + round) % trainers.length;
      times[at] = await block(bench, trainers[at]!);
    }
    for (const [i, time] of times.entries()) ratios[i]!.push(time / times.at(-1)!);
  }
  return ratios.map(median);
}

export const growthSuite: Suite = async (bench) => {
  const engine = await loadStudent(bench, toyStudent(SHAPE));
  // Where a trainer's buffers happen to lie is worth some percent. So equal trainers are compared before
  // and after one of them works: what changes between them is what the steps did.
  const working = await setUpTraining(engine, TASK);
  const resting = await setUpTraining(engine, TASK);
  const measure = await setUpTraining(engine, TASK);
  const trainers = [working, resting, measure];
  for (const one of trainers) await block(bench, one);
  const [workedBefore, restedBefore] = await against(bench, trainers);
  const before = engine.gpu.allocatedBytes;
  const blocks: number[] = [];
  for (let step = 0; step < STEPS; step += BLOCK) blocks.push(await block(bench, working));
  const grown = engine.gpu.allocatedBytes - before;
  const [worked, rested] = await against(bench, trainers);
  for (const { trainer } of trainers) trainer.destroy();
  engine.destroy();
  const hundred = 100 / BLOCK;
  const first = median(blocks.slice(0, hundred));
  const last = median(blocks.slice(-hundred));
  const unit = bench.software ? 'CPU ms' : 'ms';
  return [
    { metric: `a step of the first hundred`, value: first, unit },
    { metric: `a step of the last hundred of ${STEPS}`, value: last, unit },
    {
      metric: `growth of GPU bytes over ${STEPS} steps`,
      value: grown,
      unit: 'B',
      goal: 0,
      direction: 'lower',
    },
    {
      metric: `last hundred against the first: slower by`,
      value: 100 * (last / first - 1),
      unit: '%',
    },
    {
      metric: `a trainer's steps, after ${STEPS} of them, against a trainer that rested: slower by`,
      value: 100 * (worked! / workedBefore! - 1),
      unit: '%',
      goal: 2,
      direction: 'lower',
    },
    {
      metric: 'control: another trainer that rested, slower by',
      value: 100 * (rested! / restedBefore! - 1),
      unit: '%',
    },
    {
      metric: 'two new trainers against a third: slower by, the first',
      value: 100 * (workedBefore! - 1),
      unit: '%',
    },
    {
      metric: 'two new trainers against a third: slower by, the second',
      value: 100 * (restedBefore! - 1),
      unit: '%',
    },
  ];
};
