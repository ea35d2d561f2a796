/**
 * From createTrainer() with weights resident to the end of the first step, without what a steady
 * step takes; and pipelines. Runs in a process of its own: a second trainer finds them compiled.
 */
import type { Engine } from '../../src/engine/engine';
import { bare } from '../../src/engine/pack';
import type { Trainer } from '../../src/engine/trainer';
import { medianSample, type Sample, timed } from '../clock';
import { LEARNING_RATE, loadStudent, toyStudent } from '../student';
import { TOY, TOY_TASK, toyExamples, toyPrompt, toyTrainerOptions } from '../toy';
import type { Suite } from '../types';

export const firstStepSuite: Suite = async (bench) => {
  let engine!: Engine;
  const loaded = await timed(bench, async () => {
    engine = await loadStudent(bench, toyStudent());
  });
  const { gpu } = engine;
  const examples = toyExamples(TOY);
  const settings = { learningRate: LEARNING_RATE, fakeQuantise: false };
  const atStart = gpu.pipelineCount;

  let trainer!: Trainer;
  const created = await timed(bench, async () => {
    trainer = await engine.createTrainer(toyTrainerOptions(TOY_TASK, 'tv'));
  });
  // The cached teacher input is given: it belongs to no step.
  const teacher = await trainer.teach(examples.map(bare));
  const batch = { family: 'divergence', examples, teacher } as const;
  const step = async () => void (await trainer.step(batch, settings));
  const first = await timed(bench, () => {
    trainer.setValues(toyPrompt(TOY));
    return step();
  });
  const pipelines = gpu.pipelineCount;
  const laterSteps: Sample[] = [];
  while (laterSteps.length < 3) laterSteps.push(await timed(bench, step));
  const steady = medianSample(laterSteps);
  // Other lengths of the same bucket: at most as many rows, fewer sequences or longer ones.
  for (const textTokens of [17, 40, 95]) {
    const others = toyExamples(TOY, { ...TOY_TASK, textTokens });
    const shorter = await trainer.teach(others.map(bare));
    await trainer.step({ family: 'divergence', examples: others, teacher: shorter }, settings);
  }
  const late = gpu.pipelineCount - pipelines;
  trainer.destroy();
  engine.destroy();
  return [
    { metric: 'toy: load (weights and forward pipelines)', value: loaded.wall, unit: 'ms' },
    { metric: 'toy: createTrainer()', value: created.wall, unit: 'ms' },
    { metric: 'toy: first step', value: first.wall, unit: 'ms' },
    { metric: 'toy: steady step', value: steady.wall, unit: 'ms' },
    {
      metric: 'toy: createTrainer() and first step − steady step',
      value: (created.wall + first.wall - steady.wall) / 1000,
      unit: 's',
      goal: 1.5,
      direction: 'lower',
    },
    // What the wall clock says depends on what else runs: these do not.
    { metric: 'toy: createTrainer(), CPU', value: created.cpu, unit: 'CPU ms' },
    { metric: 'toy: first step − steady step, CPU', value: first.cpu - steady.cpu, unit: 'CPU ms' },
    { metric: 'toy: pipelines of loading and sampling', value: atStart, unit: '' },
    {
      metric: 'toy: pipelines in all',
      value: pipelines,
      unit: '',
      goal: 40,
      direction: 'lower',
    },
    {
      metric: 'toy: pipelines made after the first step, other lengths',
      value: late,
      unit: '',
      goal: 0,
      direction: 'lower',
    },
  ];
};
