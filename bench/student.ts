/** Models that suites run on, loaded into the engine, and the same in f32 for peers. */
import { Engine } from '../src/engine/engine';
import { bare } from '../src/engine/pack';
import type { Trainer } from '../src/engine/trainer';
import type { DivergenceBatch } from '../src/engine/types';
import { memorySource } from '../src/formats/byte-source';
import { mapDecoder } from '../src/formats/onnx/decoder';
import { readOnnx } from '../src/formats/onnx/proto';
import type { ModelFiles } from '../src/formats/decoder/tensor';
import { readMatrix, readNorm, readRotary } from '../src/formats/decoder/weights';
import { Gpu, type GpuOptions } from '../src/kernels/gpu/gpu';
import {
  type ToyShape,
  type ToyTask,
  toyExamples,
  toyModel,
  toyPrompt,
  toyTrainerOptions,
} from './toy';
import type { Bench, DenseModel, PeerTask } from './types';

export interface StudentFiles {
  files: ModelFiles;
  config: unknown;
}

export const LEARNING_RATE = 0.01;

export function toyStudent(shape?: ToyShape): StudentFiles {
  return toyModel(shape);
}

/** The student that ships with the app. */
export async function pocketStudent({ host }: Bench): Promise<StudentFiles> {
  const folder = 'public/models/pocket';
  const model = memorySource(await host.file(`${folder}/onnx/model_q4.onnx`));
  const json = new TextDecoder().decode(await host.file(`${folder}/config.json`));
  return { files: { model, external: new Map() }, config: JSON.parse(json) as unknown };
}

/** An engine on a device of its own; `destroy` it when done. */
export async function loadStudent(
  { host }: Bench,
  { files, config }: StudentFiles,
  options: GpuOptions & { adapter?: GPU } = {},
): Promise<Engine> {
  const gpu = await Gpu.create(options.adapter ?? host.gpu, { timestamps: true, ...options });
  return Engine.load(gpu, files, config);
}

/** One batch on a trainer, ready to step. */
export interface TrainingSetup {
  trainer: Trainer;
  batch: DivergenceBatch;
  prompt: Float32Array;
  step(): Promise<void>;
}

export async function setUpTraining(
  engine: Engine,
  task: ToyTask,
  objective: 'tv' | 'kl' = 'tv',
): Promise<TrainingSetup> {
  const trainer = await engine.createTrainer(toyTrainerOptions(task, objective));
  const examples = toyExamples(engine, task);
  const teacher = await trainer.teach(examples.map(bare));
  const prompt = toyPrompt(engine, task);
  trainer.setValues(prompt);
  const batch = { family: 'divergence', examples, teacher } as const;
  const settings = { learningRate: LEARNING_RATE, fakeQuantise: false };
  const step = async () => {
    await trainer.step(batch, settings);
  };
  return { trainer, batch, prompt, step };
}

/** Dequantised weights, for peers that have no 4-bit kernels. */
export async function denseModel({ files, config }: StudentFiles): Promise<DenseModel> {
  const model = mapDecoder(await readOnnx(files.model), config);
  const { dim, heads, kvHeads, headDim, ffnDim, vocabSize, normEps } = model.config;
  const { cos, sin } = await readRotary(model.rotary, files);
  const layers: DenseModel['layers'] = [];
  for (const layer of model.layers) {
    layers.push({
      inputNorm: await readNorm(layer.inputNorm, files),
      q: await readMatrix(layer.q, files),
      k: await readMatrix(layer.k, files),
      v: await readMatrix(layer.v, files),
      o: await readMatrix(layer.o, files),
      postNorm: await readNorm(layer.postNorm, files),
      gate: await readMatrix(layer.gate, files),
      up: await readMatrix(layer.up, files),
      down: await readMatrix(layer.down, files),
    });
  }
  return {
    ...{ dim, heads, kvHeads, headDim, ffnDim, vocabSize, eps: normEps, cos, sin, layers },
    finalNorm: await readNorm(model.finalNorm, files),
    head: await readMatrix(model.head, files),
  };
}

/** The batch of `setup` as peers take it. */
export async function peerTask(
  engine: Engine,
  model: DenseModel,
  setup: TrainingSetup,
  task: ToyTask,
  objective: 'tv' | 'kl',
): Promise<PeerTask> {
  const { batch, virtualTokens, textTokens, promptTokens } = task;
  const lossTokens = textTokens - promptTokens + 1;
  const { dim } = engine;
  const embedded = new Float32Array(batch * textTokens * dim);
  const teacherHidden = new Float32Array(batch * lossTokens * dim);
  for (const [e, { prompt, paths }] of setup.batch.examples.entries()) {
    // The last token of a path is only predicted.
    const tokens = [...prompt, ...paths[0]!.tokens.slice(0, -1)];
    embedded.set(await engine.embeddingRows(tokens), e * textTokens * dim);
    teacherHidden.set(setup.batch.teacher[e]![0]!.hidden, e * lossTokens * dim);
  }
  return {
    ...{ model, objective, batch, virtualTokens, textTokens, lossTokens },
    ...{ embedded, teacherHidden, prompt: setup.prompt, learningRate: LEARNING_RATE },
  };
}
