/** What a plan promises, on devices: the same gradients in less memory, in smaller buffers and submits. */
import { describe, expect, it, vi } from 'vitest';
import { Gpu } from '../kernels/gpu/gpu';
import { relativeError, testGpu } from '../kernels/gpu/testing';
import { Engine } from './engine';
import { CancelledError, MemoryPlanError } from './errors';
import { bare, exampleLossRows, exampleRows, packedAs } from './pack';
import { headWork, layersWork } from './plan-work';
import { type Family, familyExamples, loadFamily } from './testing';
import type { Trainer } from './trainer';
import type { Example, TokenPath, Tokens, TrainerOptions } from './types';

/** Soft caps, windows and four norms; head norms; a table that head and embedding share. */
const FAMILIES = ['gemma2-packed', 'qwen3-packed', 'llama-shared-table'];
/** The goldens' examples take 12 and 18 positions. */
const SPLIT = 20;
/** Bytes of uniforms and rounding that a plan does not list. */
const PADDING = 2048;

async function load(name: string, gpu?: Gpu): Promise<{ family: Family; engine: Engine }> {
  const family = await loadFamily(name);
  const engine = await Engine.load(gpu ?? (await testGpu(true)), family.files, family.config);
  return { family, engine };
}

/** A batch of the golden's examples, and options that fit it exactly. */
function batchOf(family: Family) {
  const examples = familyExamples(family);
  const inputs = examples.map(bare);
  const sum = (values: number[]) => values.reduce((a, b) => a + b);
  const options: TrainerOptions = {
    trainable: { kind: 'soft-prompt', n: family.golden.n },
    objective: { family: 'divergence', name: 'tv' },
    maxRows: sum(inputs.map(exampleRows)),
    maxLossRows: sum(inputs.map(exampleLossRows)),
    maxExampleRows: Math.max(...inputs.map(exampleRows)),
    clipNorm: 1,
  };
  return { examples, inputs, options };
}

async function gradientOf(trainer: Trainer, family: Family) {
  const { examples, inputs } = batchOf(family);
  const teacher = await trainer.teach(inputs);
  trainer.setValues(family.array('soft'));
  const { loss, gradient } = await trainer.gradient({ family: 'divergence', examples, teacher });
  return { loss, gradient, teacher };
}

it.each(['gemma2-packed', 'qwen3-packed', 'llama-shared-table'])(
  'counts the products of a step of %s as they are run',
  async (name) => {
    const { family, engine } = await load(name);
    const { options, examples, inputs } = batchOf(family);
    for (const keep of ['layers', 'inputs'] as const) {
      const trainer = await engine.createTrainer({ ...options, keep });
      const teacher = await trainer.teach(inputs);
      trainer.setValues(family.array('soft'));
      const run = vi.spyOn(engine.submitter, 'run');
      let counted = 0;
      run.mockImplementation((ops) => {
        for (const op of ops) if (op.label.startsWith('linear')) counted += op.work?.() ?? 0;
      });
      await trainer.gradient({ family: 'divergence', examples, teacher });
      run.mockRestore();
      trainer.destroy();
      const { maxRows, maxLossRows: lossRows } = options;
      const promptRows = family.golden.n;
      const pass = { rows: maxRows + promptRows, lossRows, promptRows, keep };
      expect(counted).toBe(layersWork(engine.config, pass) + headWork(engine.config, lossRows));
    }
  },
);

it('compiles ahead what a trainer needs, but for what depends on its length', async () => {
  const gpu = await Gpu.create(navigator.gpu);
  const { family, engine } = await load('llama-shared-table', gpu);
  const { options } = batchOf(family);
  const loaded = gpu.pipelineCount;
  await engine.prepareTraining(options);
  const prepared = gpu.pipelineCount;
  (await engine.createTrainer(options)).destroy();
  expect(prepared).toBeGreaterThan(loaded);
  // Sums, Adam, fake quantisation: none of them takes long.
  expect(gpu.pipelineCount - prepared).toBeLessThanOrEqual(4);
  engine.destroy();
});

describe.each(FAMILIES)('memory of a step with %s', (name) => {
  it('has the same gradient whatever is kept, in one pass or in several', async () => {
    const { family, engine } = await load(name);
    const { options } = batchOf(family);
    const choices: Partial<TrainerOptions>[] = [
      { keep: 'layers' },
      { keep: 'inputs' },
      { keep: 'layers', passRows: SPLIT },
      { keep: 'inputs', passRows: SPLIT },
    ];
    const results = [];
    for (const choice of choices) {
      const trainer = await engine.createTrainer({ ...options, ...choice });
      expect(trainer.plan.keep).toBe(choice.keep);
      expect(trainer.plan.passes > 1).toBe(choice.passRows !== undefined);
      results.push(await gradientOf(trainer, family));
      trainer.destroy();
    }
    const [kept, recomputed, ...split] = results;
    expect(relativeError(kept!.gradient, family.array('tvGradient'))).toBeLessThan(1e-4);
    expect(recomputed!.gradient).toEqual(kept!.gradient);
    for (const { loss, gradient } of split) {
      expect(Math.abs(loss - kept!.loss)).toBeLessThan(1e-6 * kept!.loss);
      expect(relativeError(gradient, kept!.gradient)).toBeLessThan(1e-6);
    }
  });

  it.each(['layers', 'inputs'] as const)('allocates what was planned, keeping %s', async (keep) => {
    const { family, engine } = await load(name);
    const { options, examples } = batchOf(family);
    const { gpu } = engine;
    // Pipelines and their uniforms are the engine's; only the first trainer makes them.
    (await engine.createTrainer({ ...options, keep })).destroy();
    for (const passRows of [undefined, SPLIT]) {
      const before = gpu.allocatedBytes;
      const trainer = await engine.createTrainer({ ...options, keep, passRows });
      const { plan } = trainer;
      const planned = plan.totalBytes - plan.bytes.staging;
      const took = gpu.allocatedBytes - before;
      expect(trainer.gpuBytes).toBeLessThanOrEqual(took);
      expect(took).toBeGreaterThanOrEqual(planned);
      expect(took).toBeLessThanOrEqual(planned + PADDING);
      const { teacher } = await gradientOf(trainer, family);
      await trainer.step(
        { family: 'divergence', examples, teacher },
        { learningRate: 0.01, fakeQuantise: true },
      );
      expect(gpu.allocatedBytes - before).toBeLessThanOrEqual(plan.totalBytes + PADDING);
      trainer.destroy();
      expect(gpu.allocatedBytes - before).toBeLessThanOrEqual(plan.bytes.staging);
    }
  });

  it('makes nothing after the first step', async () => {
    const { family, engine } = await load(name);
    const { options, examples, inputs } = batchOf(family);
    const warmUp = { family: 'divergence', name: 'kl' } as const;
    const trainer = await engine.createTrainer({ ...options, warmUp, passRows: SPLIT });
    trainer.setValues(family.array('soft'));
    const { gpu } = engine;
    const seen = () => [gpu.bufferCount, gpu.bindGroupCount, gpu.pipelineCount, gpu.allocatedBytes];
    let first: number[] | undefined;
    for (let step = 0; step < 8; step++) {
      // Batches of different lengths, with fresh targets.
      const count = step === 0 ? examples.length : 1 + (step % examples.length);
      const teacher = await trainer.teach(inputs.slice(0, count));
      const settings = { learningRate: 0.01, fakeQuantise: step % 2 === 0, warmUp: step % 3 > 0 };
      await trainer.step(
        { family: 'divergence', examples: examples.slice(0, count), teacher },
        settings,
      );
      first ??= seen();
      expect(seen()).toEqual(first);
    }
    expect(gpu.mostStorageBuffers).toBeLessThanOrEqual(8);
    trainer.destroy();
  });

  it('does the same in many small submits', async () => {
    const { family, engine } = await load(name);
    const { options } = batchOf(family);
    const { gpu, submitter } = engine;
    const run = async () => {
      const before = gpu.submitCount;
      const trainer = await engine.createTrainer(options);
      const { gradient } = await gradientOf(trainer, family);
      const request = { prompt: family.golden.ids.slice(0, 6), stream: 0 };
      const settings = { temperature: 0, seed: 0, maxNewTokens: 10, stopTokens: [] };
      const [text] = await engine.generate([request], settings);
      trainer.destroy();
      return { gradient, tokens: text!.tokens, submits: gpu.submitCount - before };
    };
    // On hardware the first run also measures which tiles are fast.
    if (!gpu.description.isFallbackAdapter) await run();
    const whole = await run();
    // Less than one linear layer or one attention at a time: they run a few rows after another.
    submitter.assume(1.5e5 / submitter.seconds);
    const submit = vi.spyOn(gpu, 'run');
    let most = 0;
    submit.mockImplementation((ops, label) => {
      most = Math.max(
        most,
        ops.reduce((sum, op) => sum + (op.work?.(op.rows) ?? 0), 0),
      );
      Gpu.prototype.run.call(gpu, ops, label);
    });
    const parts = await run();
    submit.mockRestore();
    expect(most).toBeGreaterThan(submitter.limit / 4);
    expect(most).toBeLessThanOrEqual(submitter.limit);
    // A row in another lane adds up in another order.
    expect(relativeError(parts.gradient, whole.gradient)).toBeLessThan(1e-5);
    expect(parts.tokens).toEqual(whole.tokens);
    expect(parts.tokens).toEqual(family.golden.greedy.plain);
    expect(parts.submits).toBeGreaterThan(3 * whole.submits);
  });
});

describe.each(['gemma2-packed', 'qwen3-packed'])('memory of token losses with %s', (name) => {
  it('is as planned, less than a divergence takes, and nothing is made after a step', async () => {
    const { family, engine } = await load(name);
    const { gpu } = engine;
    const { inputs, options: mixture } = batchOf(family);
    const rows = inputs.map(({ prompt, paths }): Example<TokenPath> => {
      const ones = (tokens: Tokens) => new Float32Array(tokens.length).fill(1);
      const path = (tokens: Tokens) => ({
        tokens,
        coef: ones(tokens),
        advantage: ones(tokens),
        oldLogProb: ones(tokens),
      });
      return { prompt, paths: paths.map(path) };
    });
    const sizes = packedAs({ family: 'token', examples: rows });
    const options: TrainerOptions = {
      ...mixture,
      objective: { family: 'token', objective: { name: 'ppo', clip: 0.2 } },
      warmUp: { family: 'token', objective: { name: 'likelihood' } },
      maxRows: sizes.reduce((sum, input) => sum + exampleRows(input), 0),
      maxLossRows: sizes.reduce((sum, input) => sum + exampleLossRows(input), 0),
      maxExampleRows: Math.max(...sizes.map(exampleRows)),
      passRows: SPLIT + 4,
    };
    (await engine.createTrainer(options)).destroy();
    const before = gpu.allocatedBytes;
    const trainer = await engine.createTrainer(options);
    const { bytes, totalBytes, passes } = trainer.plan;
    expect(passes).toBeGreaterThan(1);
    const took = gpu.allocatedBytes - before;
    expect(took).toBeGreaterThanOrEqual(totalBytes - bytes.staging);
    expect(took).toBeLessThanOrEqual(totalBytes - bytes.staging + PADDING);
    const same = { ...options, objective: mixture.objective, warmUp: undefined };
    expect(bytes.head).toBeLessThan(engine.planTrainer(same).bytes.head);

    trainer.setValues(family.array('soft'));
    const seen = () => [gpu.bufferCount, gpu.bindGroupCount, gpu.pipelineCount, gpu.allocatedBytes];
    let first: number[] | undefined;
    for (let step = 0; step < 6; step++) {
      const count = step === 0 ? rows.length : 1 + (step % rows.length);
      const settings = { learningRate: 0.01, fakeQuantise: step % 2 === 0, warmUp: step < 3 };
      const along = await trainer.along(inputs.slice(0, count));
      expect(along).toHaveLength(count);
      await trainer.step({ family: 'token', examples: rows.slice(0, count) }, settings);
      first ??= seen();
      expect(seen()).toEqual(first);
    }
    trainer.destroy();
    expect(gpu.allocatedBytes - before).toBeLessThanOrEqual(bytes.staging);
  });
});

describe('a device that binds little', () => {
  // The tables take 8000 bytes in int4 and 64000 dense.
  it.each(['llama-shared-table', 'llama-optimum', 'qwen2-optimum'])(
    'splits tables and head of %s and has the same logits, text and gradient',
    async (name) => {
      const gpu = await Gpu.create(navigator.gpu, { maxBindingBytes: 7680 });
      const { family, engine } = await load(name, gpu);
      const { golden } = family;
      const logits = await engine.logits(golden.ids.slice(0, 16));
      const expected = family.array('logits').subarray(0, logits.length);
      expect(relativeError(logits, expected)).toBeLessThan(1e-4);
      const request = { prompt: golden.ids.slice(0, 6), stream: 0 };
      const settings = { temperature: 0, seed: 0, maxNewTokens: 10, stopTokens: [] };
      const softPrompt = family.array('soft');
      const [text] = await engine.generate([request], { ...settings, softPrompt });
      expect(text!.tokens).toEqual(golden.greedy.soft);

      const { examples, inputs, options } = batchOf(family);
      const one = { ...options, maxRows: exampleRows(inputs[0]!) };
      const gradient = async (on: Engine) => {
        const trainer = await on.createTrainer(one);
        const teacher = await trainer.teach(inputs.slice(0, 1));
        trainer.setValues(softPrompt);
        return (
          await trainer.gradient({ family: 'divergence', examples: examples.slice(0, 1), teacher })
        ).gradient;
      };
      const { engine: whole } = await load(name);
      expect(relativeError(await gradient(engine), await gradient(whole))).toBeLessThan(1e-5);
      engine.destroy();
    },
  );

  it('refuses a model whose rows it cannot bind, and a trainer that cannot fit', async () => {
    const gpu = await Gpu.create(navigator.gpu, { maxBindingBytes: 192 });
    await expect(load('llama-optimum', gpu)).rejects.toThrow(/A row of|binds at most/);
    gpu.destroy();
    const { family, engine } = await load('llama-optimum');
    const { options } = batchOf(family);
    const before = engine.gpu.bufferCount;
    await expect(engine.createTrainer({ ...options, budgetBytes: 10_000 })).rejects.toThrow(
      MemoryPlanError,
    );
    expect(engine.gpu.bufferCount).toBe(before);
  });
});

describe('the rate of an adapter', () => {
  it('is measured once on hardware, by what a step does most', async () => {
    const gpu = await Gpu.create(navigator.gpu);
    gpu.description.isFallbackAdapter = false;
    const { family, engine } = await load('llama-shared-table', gpu);
    const { submitter } = engine;
    const assumed = submitter.limit;
    const { options } = batchOf(family);
    await engine.createTrainer(options);
    const measured = submitter.limit;
    expect(measured).toBeGreaterThan(0);
    expect(measured).not.toBe(assumed);
    await engine.createTrainer(options);
    expect(submitter.limit).toBe(measured);
    engine.destroy();
  });
});

describe('scoring', () => {
  it('stops when told to', async () => {
    const { family, engine } = await load('llama-shared-table');
    const signal = AbortSignal.abort();
    const items = [{ prompt: family.golden.ids.slice(0, 5), path: [1, 2] }];
    await expect(engine.score(items, undefined, signal)).rejects.toThrow(CancelledError);
  });

  it('takes no more memory for the same work again, and gives it back', async () => {
    const { family, engine } = await load('llama-shared-table');
    const items = [{ prompt: family.golden.ids.slice(0, 5), path: family.golden.ids.slice(5, 9) }];
    const empty = engine.gpu.allocatedBytes;
    const first = await engine.score(items);
    const { bufferCount } = engine.gpu;
    expect(await engine.score(items)).toEqual(first);
    expect(engine.gpu.bufferCount).toBe(bufferCount);
    engine.releaseInference();
    expect(engine.gpu.allocatedBytes - empty).toBeLessThan(PADDING);
  });
});
