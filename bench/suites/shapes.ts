/** Shapes of models that people use, with random weights; for a real GPU. */
import type { Engine } from '../../src/engine/engine';
import { createLoopedCeiling } from '../../src/kernels/linear/fma.ceiling';
import type { Op } from '../../src/kernels/gpu/gpu';
import { cost, interleave, timeOps } from '../clock';
import { loadStudent, setUpTraining, toyStudent } from '../student';
import type { ToyShape, ToyTask } from '../toy';
import type { Bench, Metric, Suite } from '../types';
import { createProducts, layerFlops, layerShapes } from './kernels';

const SMOLLM2_135M: ToyShape = {
  ...{ dim: 576, layers: 30, heads: 9, kvHeads: 3, headDim: 64, ffnDim: 1536 },
  ...{ vocabSize: 49152, maxPositions: 2048, embedding: 'shared' as const },
};
const LLAMA_3_2_1B: ToyShape = {
  ...{ dim: 2048, layers: 16, heads: 32, kvHeads: 8, headDim: 64, ffnDim: 8192 },
  ...{ vocabSize: 128256, maxPositions: 2048, embedding: 'shared' as const },
};
const TASK: ToyTask = { virtualTokens: 32, batch: 8, textTokens: 96, promptTokens: 32 };

interface Case {
  name: string;
  shape: ToyShape;
  task: ToyTask;
}

const REAL: readonly Case[] = [
  { name: 'SmolLM2-135M shape', shape: SMOLLM2_135M, task: TASK },
  { name: 'Llama-3.2-1B shape', shape: LLAMA_3_2_1B, task: TASK },
];
/** Runs the same code without a GPU; says nothing about speed on one. */
const SCALED: readonly Case[] = [
  {
    name: 'SmolLM2-135M shape, scaled to 2 layers and 4,096 tokens',
    shape: { ...SMOLLM2_135M, layers: 2, vocabSize: 4096 },
    task: { ...TASK, batch: 1 },
  },
];

/** Multiply-adds of the products of one step, times two: 4 per weight and row, 6 in the head. */
function stepFlops(shape: ToyShape, task: ToyTask): number {
  const { dim, layers, vocabSize } = shape;
  const rows = task.virtualTokens + task.batch * task.textTokens;
  const lossRows = task.batch * (task.textTokens - task.promptTokens + 1);
  return 2 * layers * layerFlops(shape, rows) + 6 * dim * vocabSize * lossRows;
}

/** Operations a millisecond of a layer's products, forward and dX, with the tiles that shapes stand for. */
async function layerSpeed(bench: Bench, { gpu }: Engine, { shape, task }: Case): Promise<number> {
  const rows = task.virtualTokens + task.batch * task.textTokens;
  const shapes = layerShapes(shape);
  const made = await Promise.all(
    shapes.map(([inputs, outputs]) => createProducts(gpu, rows, inputs, outputs, false)),
  );
  const ops = shapes.flatMap(([, , count], i) => {
    const { forward, backward } = made[i]!;
    return Array<Op[]>(count).fill([forward, backward]).flat();
  });
  const times = await timeOps(bench, gpu, new Map([['layer', ops]]));
  for (const products of made) products.release();
  return (2 * layerFlops(shape, rows)) / times.get('layer')!;
}

async function runCase(bench: Bench, one: Case): Promise<Metric[]> {
  const { name, shape, task } = one;
  bench.host.log(`shapes: ${name} …`);
  const engine: Engine = await loadStudent(bench, toyStudent(shape));
  const setup = await setUpTraining(engine, task);
  await setup.step();
  const result = await interleave(bench, new Map([['step', setup.step]]));
  const ceiling = await createLoopedCeiling(engine.gpu);
  const ceilings = await timeOps(bench, engine.gpu, new Map([['ceiling', [ceiling.op]]]));
  const layer = await layerSpeed(bench, engine, one);
  const step = result('step');
  const tokens = task.batch * task.textTokens;
  const speed = stepFlops(shape, task) / cost(bench, step);
  const limit = ceiling.flops / ceilings.get('ceiling')!;
  const metrics: Metric[] = [
    { metric: `${name}: step`, value: step.wall, unit: 'ms' },
    { metric: `${name}: text tokens`, value: (1000 * tokens) / step.wall, unit: '/s' },
    {
      metric: `${name}: GEMMs over the whole step, share of the FMA ceiling`,
      value: (100 * speed) / limit,
      unit: '%',
      ...(bench.software ? {} : { goal: 50, direction: 'higher' as const }),
    },
    {
      metric: `${name}: GEMMs of a layer alone, share of the FMA ceiling`,
      value: (100 * layer) / limit,
      unit: '%',
    },
    { metric: `${name}: weights`, value: engine.weightBytes / 1e6, unit: 'MB' },
    { metric: `${name}: trainer`, value: setup.trainer.gpuBytes / 1e6, unit: 'MB' },
  ];
  setup.trainer.destroy();
  engine.destroy();
  return metrics;
}

export const shapesSuite: Suite = async (bench) => {
  if (bench.software) {
    bench.host.log(
      'shapes: this is a software adapter: no figure for a real GPU exists here; a scaled-down shape only runs the same code.',
    );
  }
  const metrics: Metric[] = [];
  for (const one of bench.software ? SCALED : REAL) metrics.push(...(await runCase(bench, one)));
  return metrics;
};
