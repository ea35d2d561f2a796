/**
 * What tests/interop asks of the engine, in Node on Dawn: `engine.js job.json result.json`. Reads any
 * exported decoder; gives logits, greedy text, losses and gradients, and a short training run.
 */
import { open, readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { create, globals } from 'webgpu';
import { Engine } from '../../src/engine/engine';
import { bare } from '../../src/engine/pack';
import type { Example, MixturePath } from '../../src/engine/types';
import { handleSource } from '../../src/formats/byte-source';
import { Gpu } from '../../src/kernels/gpu/gpu';

interface JobPath {
  tokens: number[];
  coef: number[];
  w: number[];
  rho: [token: number, share: number][][];
}

interface Job {
  /** model.onnx, then its external data. */
  files: string[];
  /** config.json. */
  config: string;
  ids: number[];
  /** [n, dim]. */
  soft: number[];
  n: number;
  prompt: number[];
  newTokens: number;
  examples: { prompt: number[]; paths: JobPath[] }[];
  steps: number;
  learningRate: number;
}

async function source(path: string) {
  const handle = await open(path);
  return handleSource(handle, (await handle.stat()).size);
}

function trainExamples({ examples }: Job): Example<MixturePath>[] {
  return examples.map(({ prompt, paths }) => ({
    prompt,
    paths: paths.map(({ tokens, coef, w, rho }) => ({
      tokens,
      coef: Float32Array.from(coef),
      refusalPosterior: Float32Array.from(w),
      refusalNext: rho.map((row) => ({
        tokens: row.map(([token]) => token),
        probs: row.map(([, share]) => share),
      })),
    })),
  }));
}

async function train(engine: Engine, job: Job, objective: 'tv' | 'kl') {
  const examples = trainExamples(job);
  const trainer = await engine.createTrainer({
    trainable: { kind: 'soft-prompt', n: job.n },
    objective: { family: 'divergence', name: objective },
    maxRows: 256,
    maxLossRows: 128,
    clipNorm: 1,
  });
  const teacher = await trainer.teach(examples.map(bare));
  const batch = { family: 'divergence', examples, teacher } as const;
  trainer.setValues(Float32Array.from(job.soft));
  const { loss, gradient } = await trainer.gradient(batch);
  const losses: number[] = [];
  for (let step = 0; step < job.steps; step++) {
    const metrics = await trainer.step(batch, {
      learningRate: job.learningRate,
      fakeQuantise: false,
    });
    losses.push(metrics.loss);
  }
  const trained = await trainer.readValues();
  const final = await trainer.gradient(batch);
  trainer.destroy();
  return {
    loss,
    gradient: Array.from(gradient),
    losses,
    trained: Array.from(trained),
    finalLoss: final.loss,
  };
}

// Dawn's instance must outlive its devices: a collected one ends the process.
Object.assign(globalThis, globals, { dawnInstance: create([]) });
const { dawnInstance } = globalThis as unknown as { dawnInstance: GPU };

const [jobPath = '', resultPath = ''] = process.argv.slice(2);
const job = JSON.parse(await readFile(jobPath, 'utf8')) as Job;
const [model = '', ...external] = job.files;
const files = {
  model: await source(model),
  external: new Map(
    await Promise.all(external.map(async (path) => [basename(path), await source(path)] as const)),
  ),
};
const gpu = await Gpu.create(dawnInstance);
const engine = await Engine.load(gpu, files, JSON.parse(await readFile(job.config, 'utf8')));
const soft = Float32Array.from(job.soft);
const write = async (softPrompt?: Float32Array) => {
  const options = { temperature: 0, seed: 0, maxNewTokens: job.newTokens, stopTokens: [] };
  const requests = [{ prompt: job.prompt, stream: 0 }];
  const [text] = await engine.generate(requests, { ...options, softPrompt });
  return text!.tokens;
};
const result = {
  logits: Array.from(await engine.logits(job.ids)),
  softLogits: Array.from(await engine.logits(job.ids, soft)),
  greedy: { plain: await write(), soft: await write(soft) },
  tv: await train(engine, job, 'tv'),
  kl: await train(engine, job, 'kl'),
};
await writeFile(resultPath, JSON.stringify(result));
engine.destroy();
