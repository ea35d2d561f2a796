/**
 * From createTrainer() with weights resident to the end of the first step, without what a steady
 * step takes; and pipelines. Runs in a process of its own: a second trainer finds them compiled.
 */
import { median } from '../clock';
import { LEARNING_RATE, loadStudent, toyStudent } from '../student';
import { TOY, TOY_TASK, toyExamples, toyPrompt, toyTrainerOptions } from '../toy';
import type { Suite } from '../types';

export const firstStepSuite: Suite = async (bench) => {
  const loading = performance.now();
  const engine = await loadStudent(bench, toyStudent());
  const loaded = performance.now() - loading;
  const { gpu } = engine;
  const examples = toyExamples(TOY);
  const settings = { learningRate: LEARNING_RATE, fakeQuantise: false };
  const atStart = gpu.pipelineCount;

  let start = performance.now();
  const trainer = await engine.createTrainer(toyTrainerOptions(TOY_TASK, 'tv'));
  const created = performance.now() - start;
  // The cached teacher input is given: it belongs to no step.
  const inputs = examples.map(({ prompt, paths }) => ({
    prompt,
    paths: paths.map((path) => path.tokens),
  }));
  const teacher = await trainer.teach(inputs);
  start = performance.now();
  trainer.setValues(toyPrompt(TOY));
  await trainer.step(examples, teacher, settings);
  const first = performance.now() - start;
  const pipelines = gpu.pipelineCount;

  const steady: number[] = [];
  for (let i = 0; i < 3; i++) {
    start = performance.now();
    await trainer.step(examples, teacher, settings);
    steady.push(performance.now() - start);
  }
  // Other lengths of the same bucket: at most as many rows, fewer sequences or longer ones.
  for (const textTokens of [17, 40, 95]) {
    const others = toyExamples(TOY, { ...TOY_TASK, textTokens });
    const shorter = await trainer.teach(
      others.map(({ prompt, paths }) => ({ prompt, paths: paths.map((path) => path.tokens) })),
    );
    await trainer.step(others, shorter, settings);
  }
  const late = gpu.pipelineCount - pipelines;
  trainer.destroy();
  engine.destroy();
  return [
    { metric: 'toy: load (weights and forward pipelines)', value: loaded, unit: 'ms' },
    { metric: 'toy: createTrainer()', value: created, unit: 'ms' },
    { metric: 'toy: first step', value: first, unit: 'ms' },
    { metric: 'toy: steady step', value: median(steady), unit: 'ms' },
    {
      metric: 'toy: createTrainer() and first step − steady step',
      value: (created + first - median(steady)) / 1000,
      unit: 's',
      goal: 1.5,
      direction: 'lower',
    },
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
