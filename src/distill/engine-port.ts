/**
 * What the method asks of an engine. src/engine satisfies it structurally; tests satisfy it with a
 * small reference model. Shapes: n virtual tokens, `dim` values each.
 */
import type { AdapterShape } from '../engine/adapter-shape';
import type {
  AdapterValues,
  Divergence,
  Generated,
  GenerateOptions,
  GenerateRequest,
  StepMetrics,
  TeacherPath,
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
  objective: Divergence;
  /** Most packed positions of one call: prompts and paths, virtual tokens not counted. */
  maxRows: number;
  /** Most path positions of one call. */
  maxLossRows: number;
  /** Most packed positions of one example; a batch can then go through in parts. Default: maxRows. */
  maxExampleRows?: number;
  /** Most GPU bytes beyond the weights. Default: the engine's. */
  budgetBytes?: number;
  /** Global gradient norm above which gradients are scaled down. */
  clipNorm: number;
}

export interface StudentEngine {
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
  createTrainer(options: TrainerOptions): Promise<PromptTrainer>;
}

/** Adam's state, so that a run can go on from a checkpoint exactly. */
export interface OptimiserState {
  /** First and second moments, [n, dim] each. */
  first: Float32Array;
  second: Float32Array;
  updates: number;
}

export interface PromptTrainer {
  /** Sets the master values, [n, dim], and resets the optimiser. */
  setPrompt(values: Float32Array): void;
  /** Master values, [n, dim]. */
  readPrompt(): Promise<Float32Array>;
  /** The frozen student, without the prompt, along all paths: [examples][paths]. */
  teach(examples: readonly PathsOfPrompt[]): Promise<TeacherPath[][]>;
  /** One optimiser step; `teacher[i][j]` belongs to `examples[i].paths[j]`. */
  step(
    examples: readonly TrainExample[],
    teacher: readonly (readonly TeacherPath[])[],
    options: { learningRate: number; fakeQuantise: boolean },
  ): Promise<StepMetrics>;
  /** Forward only: the divergence at each position of each path, [examples][paths][T]. */
  divergence(
    examples: readonly TrainExample[],
    teacher: readonly (readonly TeacherPath[])[],
  ): Promise<Float32Array[][]>;
  /** Optional: the optimiser's state, for checkpoints. */
  readState?(): Promise<OptimiserState>;
  /** Optional: call after `setPrompt`. */
  writeState?(state: OptimiserState): void;
  readonly gpuBytes: number;
  /** Optional: how it uses memory, in words. */
  readonly plan?: { readonly sentence: string };
  destroy(): void;
}
