/**
 * What the method asks of an engine, in the engine's own types. src/engine satisfies it
 * structurally; tests satisfy it with a small reference model.
 */
import type {
  AdapterValues,
  Batch,
  Divergence,
  DivergenceBatch,
  Example,
  Generated,
  GenerateOptions,
  GenerateRequest,
  Gradient,
  OptimiserState,
  StepMetrics,
  StepOptions,
  TeacherPath,
  Tokens,
  TrainerOptions,
} from '../engine/types';
import type { DecoderConfig } from '../formats/decoder/config';

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
    items: readonly Example[],
    adaptation?: Float32Array | AdapterValues,
    signal?: AbortSignal,
  ): Promise<Float32Array[][]>;
  /** What the frozen student says along all paths, [examples][paths]: the teacher of a target. */
  teach(examples: readonly Example[], signal?: AbortSignal): Promise<TeacherPath[][]>;
  /**
   * A divergence of the student, behind a soft prompt or with an adapter, from the batch's target at
   * each position of each path, over the whole vocabulary, [examples][paths][T]. Forward only.
   */
  divergence(
    name: Divergence,
    batch: DivergenceBatch,
    adaptation?: Float32Array | AdapterValues,
    signal?: AbortSignal,
  ): Promise<Float32Array[][]>;
  /** Optional: the frozen residual stream behind every layer at each prompt's last token, [layers, dim]. */
  residuals?(prompts: readonly Tokens[], signal?: AbortSignal): Promise<Float32Array[]>;
  createTrainer(options: TrainerOptions): Promise<StudentTrainer>;
}

/** What trains one thing beside the frozen student. */
export interface StudentTrainer {
  /** Floats of the values: a soft prompt's [n, dim], or an adapter's layout. */
  readonly valuesLength: number;
  /** Sets the master values, [valuesLength], and resets the optimiser. */
  setValues(values: Float32Array): void;
  /** Master values, [valuesLength]. */
  readValues(): Promise<Float32Array>;
  /** The frozen student, without what is trained, along all paths: [examples][paths]. */
  teach(examples: readonly Example[]): Promise<TeacherPath[][]>;
  /**
   * The student with its present values along all paths: log q and final hidden states. A soft
   * prompt as a step with `fakeQuantise` sees it, where that is asked for.
   */
  along(
    examples: readonly Example[],
    options?: { fakeQuantise?: boolean },
  ): Promise<TeacherPath[][]>;
  /**
   * One optimiser step.
   * @throws RangeError on a batch of another family than the trainer's objective, or where a target
   *   lacks its teacher
   */
  step(batch: Batch, options: StepOptions): Promise<StepMetrics>;
  /**
   * Loss and gradient at the present values; nothing is updated.
   * @throws as `step`
   */
  gradient(batch: Batch, options?: { warmUp?: boolean }): Promise<Gradient>;
  /** Optional: the values and the optimiser's state at once, for checkpoints. */
  readState?(): Promise<OptimiserState & { values: Float32Array }>;
  /** Optional: call after `setValues`. */
  writeState?(state: OptimiserState): void;
  readonly gpuBytes: number;
  /** Optional: how it uses memory, in words. */
  readonly plan?: { readonly sentence: string };
  destroy(): void;
}
