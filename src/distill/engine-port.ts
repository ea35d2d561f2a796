/**
 * What the method asks of an engine. src/engine satisfies it structurally; tests satisfy it with a
 * small reference model.
 */
import type { AdapterShape } from '../engine/adapter-shape';
import type { DecoderConfig } from '../formats/onnx/decoder';
import type {
  AdapterValues,
  EngineObjective,
  Generated,
  GenerateOptions,
  GenerateRequest,
  StepMetrics,
  StepOptions,
  Teacher,
  TeacherPath,
  TokenExample,
  Tokens,
  TrainExample,
} from '../engine/types';

/** A prompt and its response paths, without targets. */
export interface PathsOfPrompt {
  prompt: Tokens;
  paths: readonly Tokens[];
}

export interface TrainerOptions {
  /** Vectors of a soft prompt; 0 with an adapter. */
  virtualTokens: number;
  /** LoRA or steering vectors, trained instead of a soft prompt. */
  adapter?: AdapterShape;
  objective: EngineObjective;
  /** Of the same family: what steps with `warmUp` minimise instead. */
  warmUp?: EngineObjective;
  /** Most packed positions of one call: prompts and paths, virtual tokens not counted. */
  maxRows: number;
  /** Most loss rows of one call: path positions, as `exampleLossRows` of engine/pack.ts counts them. */
  maxLossRows: number;
  /** Most packed positions of one example; a batch can then go through in parts. Default: maxRows. */
  maxExampleRows?: number;
  /** Most GPU bytes beyond the weights. Default: the engine's. */
  budgetBytes?: number;
  /** Global gradient norm above which gradients are scaled down. */
  clipNorm: number;
}

export interface StudentEngine {
  /** What adapters depend on. */
  readonly config: DecoderConfig;
  readonly dim: number;
  readonly vocabSize: number;
  /** Longest sequence, virtual tokens included. */
  readonly maxPositions: number;
  /** Input embeddings, [tokens.length, dim]. */
  embeddingRows(tokens: Tokens): Promise<Float32Array>;
  generate(requests: readonly GenerateRequest[], options: GenerateOptions): Promise<Generated[]>;
  /**
   * Teacher-forced log-probabilities of the path tokens, one array an item, [path.length], behind a
   * soft prompt or with an adapter.
   */
  score(
    items: readonly { prompt: Tokens; path: Tokens }[],
    adaptation?: Float32Array | AdapterValues,
    signal?: AbortSignal,
  ): Promise<Float32Array[]>;
  /** The same of several paths that share their prompt, [items][paths][T]; the prompt runs once. */
  scorePaths(
    items: readonly PathsOfPrompt[],
    adaptation?: Float32Array | AdapterValues,
    signal?: AbortSignal,
  ): Promise<Float32Array[][]>;
  /** Optional: the frozen residual stream behind every layer at each prompt's last token, [layers, dim]. */
  residuals?(prompts: readonly Tokens[], signal?: AbortSignal): Promise<Float32Array[]>;
  createTrainer(options: TrainerOptions): Promise<PromptTrainer>;
}

/** Adam's state, so that a run can go on from a checkpoint exactly. */
export interface OptimiserState {
  /** First and second moments, [valuesLength] each. */
  first: Float32Array;
  second: Float32Array;
  updates: number;
}

export interface PromptTrainer {
  /** Floats of the values: a soft prompt's [virtualTokens, dim], or an adapter's layout. */
  readonly valuesLength: number;
  /** Sets the master values, [valuesLength], and resets the optimiser. */
  setValues(values: Float32Array): void;
  /** Master values, [valuesLength]. */
  readValues(): Promise<Float32Array>;
  /** The frozen student, without what is trained, along all paths: [examples][paths]. */
  teach(examples: readonly PathsOfPrompt[]): Promise<TeacherPath[][]>;
  /**
   * The student with its present values along all paths: log q and final hidden states. A soft
   * prompt as a step with `fakeQuantise` sees it, where that is asked for.
   */
  along(
    examples: readonly PathsOfPrompt[],
    options?: { fakeQuantise?: boolean },
  ): Promise<TeacherPath[][]>;
  /**
   * One optimiser step of a divergence; `teacher[i][j]` belongs to `examples[i].paths[j]`.
   * @throws RangeError where the trainer's objective is on tokens, or a target lacks its teacher
   */
  step(
    examples: readonly TrainExample[],
    teacher: Teacher,
    options: StepOptions,
  ): Promise<StepMetrics>;
  /**
   * One optimiser step of an objective on tokens.
   * @throws RangeError where the trainer's objective is a divergence
   */
  stepTokens(examples: readonly TokenExample[], options: StepOptions): Promise<StepMetrics>;
  /**
   * Forward only: the divergence at each position of each path, [examples][paths][T].
   * @throws RangeError where the trainer's objective is on tokens
   */
  divergence(examples: readonly TrainExample[], teacher: Teacher): Promise<Float32Array[][]>;
  /** Optional: the optimiser's state, for checkpoints. */
  readState?(): Promise<OptimiserState>;
  /** Optional: call after `setValues`. */
  writeState?(state: OptimiserState): void;
  readonly gpuBytes: number;
  /** Optional: how it uses memory, in words. */
  readonly plan?: { readonly sentence: string };
  destroy(): void;
}
