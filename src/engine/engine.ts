/** The door to the engine: one frozen decoder on one GPU. See types.ts for the shapes. */
import type { DecoderConfig } from '../formats/decoder/config';
import { mapDecoder } from '../formats/onnx/decoder';
import { readOnnx } from '../formats/onnx/proto';
import type { ModelFiles } from '../formats/decoder/tensor';
import { type Gpu, Span } from '../kernels/gpu/gpu';
import { Autotuner, type AutotuneOptions } from './autotune';
import { type BackwardKernels, createBackwardKernels } from './backward';
import { createForwardKernels, type ForwardKernels } from './forward-kernels';
import { Inference } from './inference';
import { LinearTuner } from './linear-tuning';
import { createLoss } from './loss-kernels';
import { bare, exampleRows, sharePrompts } from './pack';
import { residuals } from './residuals';
import { DEFAULT_BUDGET_BYTES, type MemoryPlan, planTraining } from './plan';
import { Adapter } from './trainable/adapter';
import { Trainer } from './trainer';
import { createTrainerKernels } from './trainer-kernels';
import type {
  AdapterValues,
  Divergence,
  DivergenceBatch,
  Example,
  Generated,
  GenerateOptions,
  GenerateRequest,
  PrefixLayer,
  TeacherPath,
  Tokens,
  TrainerOptions,
} from './types';
import { type DecoderWeights, type UploadProgress, uploadWeights } from './weights';
import { Submitter } from './work';

export interface EngineProgress {
  onUpload?: UploadProgress;
  /** Pipelines are being compiled: how many are ready, of how many asked for so far. */
  onCompile?: (ready: number, asked: number) => void;
}

export interface EngineOptions extends EngineProgress {
  /** How small choices are made and remembered; see autotune.ts. */
  autotune?: AutotuneOptions;
}

export class Engine {
  readonly config: DecoderConfig;
  readonly dim: number;
  readonly vocabSize: number;
  /** Longest sequence, soft prompt included. */
  readonly maxPositions: number;
  /** Bytes of weights on the GPU. */
  readonly weightBytes: number;

  /** Pipelines of a trainer are being compiled: how many are ready, of how many asked for so far. */
  onCompile: EngineProgress['onCompile'] | null = null;

  /** By the number of parts that sums over queries are split into. */
  private readonly backwardKernels = new Map<number, Promise<BackwardKernels>>();
  /** The last adapter that was generated or scored with. */
  private adapted: { key: string; adapter: Adapter; inference: Inference } | null = null;
  private destroyed = false;

  private constructor(
    readonly gpu: Gpu,
    private readonly weights: DecoderWeights,
    private readonly kernels: ForwardKernels,
    private readonly inference: Inference,
    /** Bounds the work of each submit. */
    readonly submitter: Submitter,
  ) {
    this.config = weights.config;
    this.dim = weights.config.dim;
    this.vocabSize = weights.config.vocabSize;
    this.maxPositions = Math.min(weights.positions, weights.config.maxPositions);
    this.weightBytes = weights.bytes;
  }

  /**
   * Reads an ONNX decoder, uploads its weights and compiles the forward pipelines.
   * @throws OnnxFormatError, UnsupportedModelError naming the node, ByteSourceError.
   */
  static async load(
    gpu: Gpu,
    files: ModelFiles,
    configJson: unknown,
    options: EngineOptions = {},
  ): Promise<Engine> {
    const model = mapDecoder(await readOnnx(files.model), configJson);
    const tuner = new LinearTuner(gpu, new Autotuner(gpu, options.autotune));
    const weights = await uploadWeights(gpu, model, files, tuner, options.onUpload);
    gpu.onPipeline = options.onCompile ?? null;
    try {
      const kernels = await createForwardKernels(gpu, weights);
      const submitter = new Submitter(gpu);
      const inference = await Inference.create(gpu, weights, submitter, kernels);
      return new Engine(gpu, weights, kernels, inference, submitter);
    } finally {
      gpu.onPipeline = null;
    }
  }

  /** What tokens put into the residual stream, Gemma's factor included: [tokens.length, dim]. */
  async embeddingRows(tokens: Tokens): Promise<Float32Array> {
    const { dim, gpu } = this;
    const unknown = tokens.find((token) => !(token >= 0 && token < this.vocabSize));
    if (unknown !== undefined) throw new RangeError(`No token ${unknown}.`);
    if (tokens.length === 0) return new Float32Array();
    const token = gpu.upload('looked up tokens', Uint32Array.from(tokens));
    const y = gpu.storage('looked up rows', tokens.length * dim * 4);
    const span = new Span(gpu, 'looked up rows');
    span.set(0, tokens.length);
    gpu.run(this.kernels.embedding.bind({ token, y, span }), 'embedding rows');
    const rows = await gpu.readFloats(y, tokens.length * dim);
    gpu.release(token, y);
    span.release();
    return rows;
  }

  /**
   * Seeded samples or greedy text; see {@link GenerateOptions}.
   * @throws SequenceTooLongError, CancelledError
   */
  async generate(
    requests: readonly GenerateRequest[],
    options: GenerateOptions,
  ): Promise<Generated[]> {
    if (requests.length === 0) return [];
    const inference = await this.inferenceWith(options.adapter);
    const generator = await inference.generator(requests, options);
    return generator.generate(requests, options);
  }

  /** Logits after every token, [tokens.length, vocabSize], behind a soft prompt or with an adapter. */
  async logits(
    tokens: Tokens,
    adaptation?: Float32Array | AdapterValues,
    signal?: AbortSignal,
  ): Promise<Float32Array> {
    const { softPrompt, adapter } = apart(adaptation);
    const rows = tokens.length + this.prefixRows(softPrompt);
    const inference = await this.inferenceWith(adapter);
    const forcing = await inference.forcing(rows, rows);
    return forcing.logits(tokens, softPrompt, signal);
  }

  /**
   * Teacher-forced log-probabilities of each item's path, behind a soft prompt or with an adapter.
   * Items of equal prompts share the prompt's rows.
   * @throws SequenceTooLongError, CancelledError
   */
  async score(
    items: readonly { prompt: Tokens; path: Tokens }[],
    adaptation?: Float32Array | AdapterValues,
    signal?: AbortSignal,
  ): Promise<Float32Array[]> {
    const { softPrompt } = apart(adaptation);
    const room = this.inference.most.rows - this.prefixRows(softPrompt);
    const { inputs, places } = sharePrompts(items, room);
    const scored = await this.scorePaths(inputs, adaptation, signal);
    return places.map(([input, path]) => scored[input]![path]!);
  }

  /**
   * The same of several paths that share their prompt, [items][paths][T]; the prompt runs once.
   * @throws SequenceTooLongError, CancelledError
   */
  async scorePaths(
    items: readonly Example[],
    adaptation?: Float32Array | AdapterValues,
    signal?: AbortSignal,
  ): Promise<Float32Array[][]> {
    if (items.length === 0) return [];
    const { softPrompt, adapter } = apart(adaptation);
    const { rows, scored } = sizesOf(items);
    const all = rows + this.prefixRows(softPrompt);
    const inference = await this.inferenceWith(adapter);
    const forcing = await inference.forcing(all, scored);
    const paths = await forcing.paths(items, { softPrompt, hidden: false, signal });
    return paths.map((of) => of.map(({ logProbs }) => logProbs));
  }

  /**
   * What the frozen model says along all paths, [examples][paths]: the teacher of a target.
   * @throws SequenceTooLongError, CancelledError
   */
  async teach(examples: readonly Example[], signal?: AbortSignal): Promise<TeacherPath[][]> {
    if (examples.length === 0) return [];
    const { rows, scored } = sizesOf(examples);
    const forcing = await this.inference.forcing(rows, scored);
    return forcing.paths(examples, { hidden: true, signal });
  }

  /**
   * A divergence of the student, behind a soft prompt or with an adapter, from the batch's target at
   * each position of each path, over the whole vocabulary, [examples][paths][T]. Forward only.
   * @throws SequenceTooLongError, TargetMismatchError, RangeError, CancelledError
   */
  async divergence(
    name: Divergence,
    batch: DivergenceBatch,
    adaptation?: Float32Array | AdapterValues,
    signal?: AbortSignal,
  ): Promise<Float32Array[][]> {
    if (batch.examples.length === 0) return [];
    const { softPrompt, adapter } = apart(adaptation);
    const { rows, scored } = sizesOf(batch.examples.map(bare));
    const inference = await this.inferenceWith(adapter);
    const meter = await inference.meter(name, rows + this.prefixRows(softPrompt), scored);
    return meter.along(batch, softPrompt, signal);
  }

  /** The soft prompt as a KV prefix, layer by layer, [kvHeads, n, headDim]. */
  async prefixCache(softPrompt: Float32Array): Promise<PrefixLayer[]> {
    const generator = await this.inference.prefixGenerator(softPrompt);
    const n = await generator.writePrefix(softPrompt);
    const { kvHeads, headDim } = this.weights.config;
    const width = kvHeads * headDim;
    const heads = async (buffer: GPUBuffer) => {
      const rows = await this.gpu.readFloats(buffer, n * width);
      const out = new Float32Array(rows.length);
      for (let row = 0; row < n; row++) {
        for (let head = 0; head < kvHeads; head++) {
          const from = row * width + head * headDim;
          out.set(rows.subarray(from, from + headDim), (head * n + row) * headDim);
        }
      }
      return out;
    };
    const { keys, values } = generator.pool;
    const layers: PrefixLayer[] = [];
    for (let i = 0; i < keys.length; i++) {
      layers.push({ key: await heads(keys[i]!), value: await heads(values[i]!) });
    }
    return layers;
  }

  /**
   * How a trainer would use memory; allocates nothing.
   * @throws MemoryPlanError where it cannot fit, with numbers.
   * @throws RangeError on sizes that no trainer can have.
   */
  planTrainer(options: TrainerOptions): MemoryPlan {
    return planTraining({
      config: this.weights.config,
      weightBytes: this.weightBytes,
      trainable: options.trainable,
      family: options.objective.family,
      rows: options.maxRows,
      lossRows: options.maxLossRows,
      exampleRows: options.maxExampleRows,
      bindingBytes: this.gpu.bindingBytes,
      budgetBytes: options.budgetBytes ?? DEFAULT_BUDGET_BYTES,
      keep: options.keep,
      passRows: options.passRows,
    });
  }

  /**
   * Compiles what every trainer with these losses needs, ahead of {@link createTrainer}: while guards
   * load, for instance. Allocates next to nothing.
   */
  async prepareTraining(losses: Pick<TrainerOptions, 'objective' | 'warmUp'>): Promise<void> {
    const { gpu, weights } = this;
    await Promise.all([this.sharedKernels(1), createLoss(gpu, weights, losses)]);
  }

  /** Plans and makes a trainer, which tells its plan. See {@link planTrainer}. */
  async createTrainer(options: TrainerOptions): Promise<Trainer> {
    const plan = this.planTrainer(options);
    const { gpu } = this;
    const { pipelineCount } = gpu;
    gpu.onPipeline = (ready, asked) =>
      this.onCompile?.(Math.max(0, ready - pipelineCount), asked - pipelineCount);
    try {
      return await this.makeTrainer(options, plan);
    } finally {
      gpu.onPipeline = null;
    }
  }

  private async makeTrainer(options: TrainerOptions, plan: MemoryPlan): Promise<Trainer> {
    const { gpu, weights, submitter, inference } = this;
    const [kernels, own] = await this.trainerKernels(options, plan);
    const { logprob } = inference;
    const deps = { gpu, weights, kernels, logprob, submitter };
    const trainer = new Trainer(deps, own, options, plan);
    await submitter.calibrate(trainer.probe);
    return trainer;
  }

  /** All at once, so that no compiler waits for another. */
  private trainerKernels(options: TrainerOptions, plan: MemoryPlan) {
    const { gpu, weights } = this;
    const own = createTrainerKernels(gpu, weights, options, plan);
    return Promise.all([this.sharedKernels(plan.partitions), own]);
  }

  /** What trainers share whose sums over queries are split into as many parts. */
  private sharedKernels(partitions: number): Promise<BackwardKernels> {
    const { gpu, weights } = this;
    let shared = this.backwardKernels.get(partitions);
    if (!shared) {
      shared = createBackwardKernels(gpu, weights, this.kernels, partitions);
      this.backwardKernels.set(partitions, shared);
    }
    return shared;
  }

  /**
   * The frozen model's residual stream behind every layer at each prompt's last token, [layers, dim].
   * @throws SequenceTooLongError, CancelledError
   */
  async residuals(prompts: readonly Tokens[], signal?: AbortSignal): Promise<Float32Array[]> {
    const { gpu, weights, kernels, submitter } = this;
    return residuals({ gpu, weights, kernels, submitter }, prompts, signal);
  }

  /** Gives back what generation and scoring have allocated; they allocate it again when used. */
  releaseInference(): void {
    this.inference.release();
    this.adapted?.inference.release();
    this.adapted?.adapter.release();
    this.adapted = null;
  }

  /** Frees the whole device. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.gpu.destroy();
  }

  /** For the frozen model or, with an adapter, for the adapted one; one adapter is kept ready. */
  private async inferenceWith(values: AdapterValues | undefined): Promise<Inference> {
    if (!values) return this.inference;
    const key = JSON.stringify(values.shape);
    if (this.adapted?.key !== key) {
      const { gpu, weights } = this;
      const adapter = await Adapter.create(gpu, weights, values.shape, { training: false });
      this.adapted?.inference.release();
      this.adapted?.adapter.release();
      this.adapted = { key, adapter, inference: this.inference.over(adapter.weights) };
    }
    this.adapted.adapter.write(values.values);
    return this.adapted.inference;
  }

  private prefixRows(softPrompt: Float32Array | undefined): number {
    return Math.ceil((softPrompt?.length ?? 0) / this.dim);
  }
}

function apart(adaptation: Float32Array | AdapterValues | undefined): {
  softPrompt?: Float32Array;
  adapter?: AdapterValues;
} {
  if (adaptation === undefined) return {};
  return adaptation instanceof Float32Array ? { softPrompt: adaptation } : { adapter: adaptation };
}

/** Packed rows of examples, and how many of their tokens have logits at most. */
function sizesOf(examples: readonly Example[]): { rows: number; scored: number } {
  return {
    rows: examples.reduce((sum, example) => sum + exampleRows(example), 0),
    scored: examples.reduce((sum, { paths }) => sum + paths.flat().length, 0),
  };
}
