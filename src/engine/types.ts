/**
 * The engine: a decoder LLM on WebGPU. Weights in; logits, gradients, tokens and a KV prefix out.
 * It knows tokens, not text; it knows nothing of guards or safety.
 */

import type { Divergence } from '../kernels/loss/divergence';
import type { TokenObjective } from '../kernels/loss/token-loss';
import type { AdapterShape, TrainableShape } from './trainable/shape';

/** Teacher-forced or generated text, as token ids. */
export type Tokens = readonly number[];

/** LoRA or steering vectors: values as `adapterLayout` lays them out. */
export interface AdapterValues {
  shape: AdapterShape;
  values: Float32Array;
}

export interface GenerateRequest {
  /** Token ids of the prompt, BOS first; at least one. */
  prompt: Tokens;
  /** Random stream of this sequence: its samples do not depend on what else is in the batch. */
  stream: number;
}

export interface GenerateOptions {
  /** [n, dim] values in front of every prompt. */
  softPrompt?: Float32Array;
  /** Changes inside the model, instead of or beside a soft prompt. */
  adapter?: AdapterValues;
  /** 0 means greedy. */
  temperature: number;
  seed: number;
  maxNewTokens: number;
  /** An answer ends with the first of these; empty where only `maxNewTokens` ends it. */
  stopTokens: readonly number[];
  signal?: AbortSignal;
  /** Called after each chunk of work with finished and total sequences. */
  onProgress?: (done: number, total: number) => void;
}

export interface Generated {
  /** New tokens, with the stop token last where one was reached. */
  tokens: number[];
  /** log q(token) at temperature 1, one for each token. */
  logProbs: number[];
  /** False where `maxNewTokens` ended it. */
  finished: boolean;
}

/** Keys (after RoPE) and values of a soft prompt in one layer, [kvHeads, n, headDim]. */
export interface PrefixLayer {
  key: Float32Array;
  value: Float32Array;
}

export type { Divergence };

/**
 * What a trainer minimises. Divergences read the target's whole distribution at a position
 * ({@link MixturePath}), token objectives one token of it ({@link TokenPath}).
 */
export type EngineObjective =
  { family: 'divergence'; name: Divergence } | { family: 'token'; objective: TokenObjective };

/**
 * A prompt and its response paths, which share the prompt's positions (tree packing). What a path
 * carries grows on its way: token ids alone, then weights, then what each of its positions is to say.
 */
export interface Example<Path = Tokens> {
  prompt: Tokens;
  paths: readonly Path[];
}

export interface SparseRow {
  tokens: Tokens;
  probs: readonly number[];
}

/**
 * A response path whose positions have a target distribution, the mixture
 * (1 − refusalPosterior)·teacher + refusalPosterior·refusalNext. At the first position all paths of
 * an example have the same context, so their losses there are one row: the coefficients add up, and
 * target fields must be equal in every path.
 */
export interface MixturePath {
  tokens: Tokens;
  /** Weight of each of this path's positions in the total loss, [tokens.length]. */
  coef: Float32Array;
  /** Posterior of the refusal branch at each position (METHOD.md §3.1), [tokens.length]. */
  refusalPosterior: Float32Array;
  /** Sparse next-token distribution of the refusal branch at each position. */
  refusalNext: readonly SparseRow[];
}

/** A response path whose own tokens carry loss; its prompt has at least two tokens. */
export interface TokenPath {
  tokens: Tokens;
  /** Weight of each position in the total loss, [tokens.length]. */
  coef: Float32Array;
  /** Advantage of each token, [tokens.length]; 1 where there is nothing to weigh. */
  advantage: Float32Array;
  /** log q of each token when it was sampled, nats, [tokens.length]; read by PPO only. */
  oldLogProb: Float32Array;
}

/** What the frozen student without the prompt says along a path; cached between epochs. */
export interface TeacherPath {
  /** log π(token) of each path token, [T]. */
  logProbs: Float32Array;
  /** Final hidden state before the LM head of each position that predicts a path token, [T, dim]. */
  hidden: Float32Array;
}

/**
 * What the frozen student says along `paths[j]` of each example; null where no target reads it: where
 * the refusal branch's posterior is 1 at every position.
 */
export type Teacher = readonly (readonly (TeacherPath | null)[])[];

export interface DivergenceBatch {
  family: 'divergence';
  examples: readonly Example<MixturePath>[];
  /** `teacher[i][j]` belongs to `examples[i].paths[j]`. */
  teacher: Teacher;
}

export interface TokenBatch {
  family: 'token';
  examples: readonly Example<TokenPath>[];
}

/** What one step trains on. Packed into passes it becomes loss rows (loss-rows.ts). */
export type Batch = DivergenceBatch | TokenBatch;

export interface TrainerOptions {
  /** What is trained beside the frozen model. */
  trainable: TrainableShape;
  objective: EngineObjective;
  /** Of the same family: what steps with `warmUp` minimise instead. */
  warmUp?: EngineObjective;
  /**
   * Most packed positions of one batch: prompts and paths, a soft prompt not counted. Token losses
   * take a few more of them (`unshared` of pack.ts).
   */
  maxRows: number;
  /** Most loss rows of one batch, as `exampleLossRows` of pack.ts counts them. */
  maxLossRows: number;
  /** Most packed positions of one example; a batch can then be split. Default: `maxRows`. */
  maxExampleRows?: number;
  /** Global gradient norm above which the gradient is scaled down. */
  clipNorm: number;
  /** Most GPU bytes beyond the weights. Default: 1 GiB. */
  budgetBytes?: number;
  /** Leave the planner less choice: what to keep, and packed positions of a pass at most. */
  keep?: 'layers' | 'inputs';
  passRows?: number;
}

export interface StepOptions {
  learningRate: number;
  /** Train what is left of the values after int4: the share link's precision. Soft prompts only. */
  fakeQuantise: boolean;
  /** Minimise the trainer's warm-up objective instead. */
  warmUp?: boolean;
}

export interface StepMetrics {
  loss: number;
  /** Norm of the gradient before clipping. */
  gradientNorm: number;
}

/** Loss and gradient at the present values. */
export interface Gradient extends StepMetrics {
  /** Of the values, in their order, before clipping. */
  gradient: Float32Array;
}

/** Adam's state, so that a run can go on from a checkpoint exactly. */
export interface OptimiserState {
  /** First and second moments, as many as values. */
  first: Float32Array;
  second: Float32Array;
  updates: number;
}
