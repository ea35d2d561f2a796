/** Bytes beyond the weights against the floor, and the working set of the loss. */
import type { Engine } from '../../src/engine/engine';
import { bare } from '../../src/engine/pack';
import { loadStudent, toyStudent } from '../student';
import {
  TOY,
  TOY_TASK,
  type ToyShape,
  type ToyTask,
  toyExamples,
  toyPrompt,
  toyTrainerOptions,
} from '../toy';
import type { Bench, Metric, Suite } from '../types';

/** What a trainer keeps for the backward pass; it recomputes the rest. */
type Keep = 'layers' | 'inputs';

/** What buffers of the head and the loss are called; weights of the head are not among them. */
const LOSS_BUFFERS =
  /logits|teacher hidden|coefficients|posterior|rho|losses|hidden gradient|chosen|train head/;

/** Rows of loss by vocabulary that a phone, a desktop and a big model ask for. */
const LOSS_CASES: ReadonlyMap<number, readonly number[]> = new Map([
  [32000, [96, 1024]],
  [128256, [512]],
  [256000, [2048]],
]);

/** The toy's batch, and one that a lab would train on. */
const TASKS: readonly ToyTask[] = [
  TOY_TASK,
  { virtualTokens: 32, batch: 8, textTokens: 96, promptTokens: 32 },
];

/** Bytes of the floor for activations that are kept, or of which only the layers' inputs are. */
function floorBytes(shape: ToyShape, task: ToyTask, keep: Keep, tileRows: number): number {
  const { dim, layers, heads, kvHeads, headDim, ffnDim, vocabSize } = shape;
  const { virtualTokens, batch, textTokens } = task;
  const rows = virtualTokens + batch * textTokens;
  const [q, kv] = [heads * headDim, kvHeads * headDim];
  const layer = 2 * dim + q + 2 * kv + q + 2 * ffnDim;
  const activations = 4 * rows * (keep === 'layers' ? layers * layer : layers * dim + layer);
  // Student and teacher logits of one tile of rows.
  const tile = 2 * 4 * vocabSize * tileRows;
  const adam = 3 * 4 * virtualTokens * dim;
  const prefix = 2 * 4 * virtualTokens * kv * layers;
  return activations + tile + adam + prefix;
}

/** Labels and sizes of the buffers that `work` makes. */
async function buffersOf(engine: Engine, work: () => Promise<unknown>) {
  const { device } = engine.gpu;
  const original = device.createBuffer.bind(device);
  const made: { label: string; size: number }[] = [];
  device.createBuffer = (descriptor) => {
    made.push({ label: descriptor.label ?? '', size: descriptor.size });
    return original(descriptor);
  };
  try {
    await work();
  } finally {
    device.createBuffer = original;
  }
  return made;
}

async function lossWorkingSets(
  bench: Bench,
  vocabSize: number,
  cases: readonly number[],
): Promise<Metric[]> {
  const shape: ToyShape = {
    ...TOY,
    ...{ dim: 64, layers: 1, heads: 2, kvHeads: 1, ffnDim: 64, vocabSize, embedding: 'shared' },
  };
  const engine = await loadStudent(bench, toyStudent(shape));
  const metrics: Metric[] = [];
  for (const lossRows of cases) {
    const task: ToyTask = { virtualTokens: 4, batch: 1, textTokens: lossRows, promptTokens: 1 };
    const buffers = await buffersOf(engine, async () => {
      const trainer = await engine.createTrainer(toyTrainerOptions(task, 'tv'));
      trainer.destroy();
    });
    const bytes = buffers
      .filter(({ label }) => LOSS_BUFFERS.test(label))
      .reduce((sum, { size }) => sum + size, 0);
    metrics.push({
      metric: `loss of ${lossRows} rows × ${vocabSize} tokens: working set`,
      value: bytes / 1e6,
      unit: 'MB',
      goal: 64,
      direction: 'lower',
    });
  }
  engine.destroy();
  return metrics;
}

export const memorySuite: Suite = async (bench) => {
  const metrics: Metric[] = [];
  const engine = await loadStudent(bench, toyStudent());
  const others = engine.gpu.allocatedBytes - engine.weightBytes;
  for (const task of TASKS) {
    for (const keep of ['layers', 'inputs'] as const) {
      engine.gpu.peakBytes = engine.gpu.allocatedBytes;
      const options = { ...toyTrainerOptions(task, 'tv'), keep };
      const trainer = await engine.createTrainer(options);
      trainer.setValues(toyPrompt(TOY, task));
      const examples = toyExamples(TOY, task);
      const teacher = await trainer.teach(examples.map(bare));
      const batch = { family: 'divergence', examples, teacher } as const;
      await trainer.step(batch, { learningRate: 0.01, fakeQuantise: false });
      const peak = engine.gpu.peakBytes - engine.weightBytes - others;
      const floor = floorBytes(TOY, task, keep, trainer.plan.logitsRows);
      const way = keep === 'layers' ? 'kept' : 'recomputed';
      const name = `toy, ${task.batch} × ${task.textTokens} text tokens, ${way}`;
      metrics.push(
        { metric: `${name}: floor`, value: floor / 1e6, unit: 'MB' },
        { metric: `${name}: peak of a step beyond weights`, value: peak / 1e6, unit: 'MB' },
        {
          metric: `${name}: peak ÷ floor`,
          value: peak / floor,
          unit: '×',
          goal: 1.25,
          direction: 'lower',
        },
      );
      trainer.destroy();
    }
  }
  metrics.push({
    metric: 'what the engine keeps for sampling, beside the weights',
    value: others / 1e6,
    unit: 'MB',
  });
  engine.destroy();
  for (const [vocabulary, rows] of LOSS_CASES) {
    bench.host.log(`memory: loss over ${vocabulary} tokens …`);
    metrics.push(...(await lossWorkingSets(bench, vocabulary, rows)));
  }
  return metrics;
};
