/** The door to the engine: one frozen decoder on one GPU. See types.ts for the shapes. */
import { mapDecoder } from '../formats/onnx/decoder';
import { readOnnx } from '../formats/onnx/proto';
import type { ModelFiles } from '../formats/onnx/tensor';
import { type Gpu, Span } from '../kernels/gpu';
import { type BackwardKernels, createBackwardKernels } from './backward';
import { createTeacherForcing, type TeacherForcing } from './forcing';
import { createForwardKernels, type ForwardKernels } from './forward';
import { createGenerator, type Generator } from './generate';
import { createTrainer, type PromptTrainer, type TrainerOptions } from './trainer';
import type { Generated, GenerateOptions, GenerateRequest, PrefixLayer, Tokens } from './types';
import { type DecoderWeights, type UploadProgress, uploadWeights } from './weights';

/** Sequences that decode together, and bytes of KV pool that they may take. */
const BATCH = 64;
const POOL_BYTES = 256 * 2 ** 20;
/** Rows of a prefill or a teacher-forced pass. */
const PASS_ROWS = 1536;
/** Longest soft prompt. */
export const MAX_VIRTUAL_TOKENS = 256;

export interface EngineProgress {
  onUpload?: UploadProgress;
  /** Pipelines are being compiled. */
  onCompile?: () => void;
}

export class Engine {
  readonly dim: number;
  readonly vocabSize: number;
  /** Longest sequence, soft prompt included. */
  readonly maxPositions: number;
  /** Bytes of weights on the GPU. */
  readonly weightBytes: number;

  private backwardKernels: Promise<BackwardKernels> | null = null;
  private destroyed = false;

  private constructor(
    readonly gpu: Gpu,
    private readonly weights: DecoderWeights,
    private readonly kernels: ForwardKernels,
    private readonly generator: Generator,
    private readonly forcing: TeacherForcing,
  ) {
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
    progress: EngineProgress = {},
  ): Promise<Engine> {
    const model = mapDecoder(await readOnnx(files.model), configJson);
    const weights = await uploadWeights(gpu, model, files, progress.onUpload);
    progress.onCompile?.();
    const kernels = await createForwardKernels(gpu, weights);
    const generator = await createGenerator(gpu, weights, kernels, generatorSizes(weights));
    const forcing = await createTeacherForcing(gpu, weights, kernels, generator.prefill);
    return new Engine(gpu, weights, kernels, generator, forcing);
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
    gpu.run([this.kernels.embedding.bind({ token, y, span })], 'embedding rows');
    const rows = await gpu.readFloats(y, tokens.length * dim);
    gpu.release(token, y);
    span.release();
    return rows;
  }

  /** Seeded samples or greedy text; see {@link GenerateOptions}. */
  generate(requests: readonly GenerateRequest[], options: GenerateOptions): Promise<Generated[]> {
    return this.generator.generate(requests, options);
  }

  /** Logits after every token, [tokens.length, vocabSize]. */
  logits(tokens: Tokens, softPrompt?: Float32Array): Promise<Float32Array> {
    return this.forcing.logits(tokens, softPrompt);
  }

  /** Teacher-forced log-probabilities of each item's path. */
  async score(
    items: readonly { prompt: Tokens; path: Tokens }[],
    softPrompt?: Float32Array,
  ): Promise<Float32Array[]> {
    const inputs = items.map(({ prompt, path }) => ({ prompt, paths: [path] }));
    const paths = await this.forcing.paths(inputs, { softPrompt, hidden: false });
    return paths.map(([path]) => path!.logProbs);
  }

  /** The soft prompt as a KV prefix, layer by layer, [kvHeads, n, headDim]. */
  async prefixCache(softPrompt: Float32Array): Promise<PrefixLayer[]> {
    const n = await this.generator.writePrefix(softPrompt);
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
    const { keys, values } = this.generator.pool;
    const layers: PrefixLayer[] = [];
    for (let i = 0; i < keys.length; i++) {
      layers.push({ key: await heads(keys[i]!), value: await heads(values[i]!) });
    }
    return layers;
  }

  async createTrainer(options: TrainerOptions): Promise<PromptTrainer> {
    const { virtualTokens: n } = options;
    if (!Number.isInteger(n) || n < 1 || n > MAX_VIRTUAL_TOKENS) {
      throw new RangeError(`A soft prompt has 1 to ${MAX_VIRTUAL_TOKENS} vectors, not ${n}.`);
    }
    this.backwardKernels ??= createBackwardKernels(this.gpu, this.weights, this.kernels);
    const kernels = await this.backwardKernels;
    return createTrainer(this.gpu, this.weights, kernels, this.forcing, options);
  }

  /** Frees the whole device. */
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.gpu.destroy();
  }
}

function generatorSizes(weights: DecoderWeights) {
  const { kvHeads, headDim, layers, maxPositions } = weights.config;
  const rowBytes = kvHeads * headDim * 4 * 2 * layers;
  const positions = Math.min(maxPositions, weights.positions);
  const wanted = MAX_VIRTUAL_TOKENS + BATCH * Math.min(positions, 256);
  const poolRows = Math.max(PASS_ROWS, Math.min(wanted, Math.floor(POOL_BYTES / rowBytes)));
  return { batch: BATCH, prefillRows: PASS_ROWS, poolRows, maxPrefix: MAX_VIRTUAL_TOKENS };
}
