/**
 * Every message between pages and workers. Requests carry an id; a request gets any number of
 * `event`s and then one `result` or `error`. `cancel` names the request it ends.
 */
import type { Adaptation } from '../../distill/adapters/adaptation';
import type { DecoderShape } from '../../distill/adapters/adapter-spec';
import type { ImportedSet } from '../../distill/data/imported-prompts';
import type { ObjectiveSpec } from '../../distill/objectives/spec';
import type { SweepDocument } from '../../distill/sweep/outcome';
import type {
  BoundMeasurement,
  Evaluation,
  EvaluationSet,
  ProbeRecord,
  Recipe,
  RunRecord,
  StepRecord,
  SystemName,
} from '../../distill/types';
import type { Verdict } from '../../formats/catalogue';
import type { ErrorCode } from '../../formats/errors';
import type { ModelSource } from '../../formats/model-source';
import type { SharedPrompt } from '../../formats/share/share-link';
import type { GpuDescription } from '../../kernels/gpu/gpu';
import type { SharedFileSet, Stored } from '../files/file-set';
import type { TokenView, TokenViewRequest } from '../trainer/token-view';

/** Whoever works in a worker of its own. */
export type WorkerRole = 'trainer' | 'student' | GuardRole | 'datasets';

export type GuardRole = 'guard' | 'judge';

/** An error as it crosses a worker border. */
export interface WireError {
  /** To branch on. */
  code: ErrorCode;
  /** A sentence to show. */
  message: string;
  /** The state of the worker that it is about is not to be trusted; else that worker only refused. */
  broken: boolean;
  /** Which worker it is about, where that is another one than the sender. */
  owner: WorkerRole | null;
}

/** How far a long job is. `total` 0 means unknown. */
export interface Progress {
  phase:
    | 'download'
    | 'verify'
    | 'upload'
    | 'compile'
    | 'parity'
    | 'warm-up'
    | 'guard'
    | 'sample'
    | 'train'
    | 'evaluate'
    | 'ready';
  done: number;
  total: number;
  unit: 'bytes' | 'items' | 'steps';
  fromCache?: boolean;
  /** Measured over this download, once it is known. */
  bytesPerSecond?: number;
  /** Bytes that an earlier, interrupted download had left. */
  resumedFrom?: number;
  /** Nothing moves for now, and why. */
  waiting?: {
    /** Another worker downloads the same model, or a broken transfer is tried again. */
    for: 'other-download' | 'retry';
    /** A sentence for people. */
    reason: string;
    /** How long, where it is known. */
    milliseconds: number | null;
  };
}

/** Which model to open, and what opening it takes. */
export interface ModelRequest {
  source: ModelSource;
  /** Address of the site, with a slash at its end. */
  baseUrl: string;
  /** The files of a `folder` source. */
  folder?: readonly File[];
  /** A hub access token for gated models. */
  token?: string;
  /** What another worker has opened already and no storage holds. */
  shared?: SharedFileSet;
}

/** What was opened. */
export interface OpenedModel {
  modelId: string;
  /** The source as text, a hub's revision pinned to its commit. */
  text: string;
  label: string;
  /** Bytes of all files. */
  bytes: number;
  /** Where they are now. */
  stored: Stored;
}

/* ---------- trainer worker: engine + method ---------- */

export interface ParityReport {
  reference: string;
  /** ‖engine − runtime‖/‖runtime‖ of logits on a fixed prompt. */
  relativeError: number;
  tolerance: number;
}

export interface TrainerReady extends OpenedModel {
  gpu: GpuDescription;
  parity: ParityReport | null;
  weightBytes: number;
  /** 'merged' where the chat template has no system role: that text opens the user's turn. */
  systemRole: 'template' | 'merged';
  /** As links name it: the first 4 bytes of the sha256 of the template as it is rendered. */
  templateHash: string;
  /** What counts of trained values depend on. */
  shape: DecoderShape;
}

export interface TrainerRequests {
  /** Opens the device and the student; compares logits with the runtime's. */
  load: {
    payload: ModelRequest & { runtimeLogits: RuntimeLogits | null };
    event: Progress;
    result: TrainerReady;
  };
  /**
   * Compiles what training with this objective takes, for a page that is about to train: guards may
   * load meanwhile. What cannot be compiled fails in `train`, with a message. Gives the number of
   * pipelines that were not there yet.
   */
  prepareTraining: { payload: { objective: ObjectiveSpec }; event: never; result: number };
  /** Hands over a port to a guard's or judge's worker; a second one replaces the first. */
  connectGuard: {
    payload: { name: GuardRole; port: MessagePort; modelId: string };
    event: never;
    result: null;
  };
  /** That worker has ended: nobody may wait for its answers. */
  disconnectGuard: { payload: { name: GuardRole }; event: never; result: null };
  /**
   * Trains; the record comes without evaluations. `resume` goes on from the last checkpoint, with
   * its own recipe. `imported` are the prompts that the recipe's `data` names.
   */
  train: {
    payload: { recipe: Recipe; resume?: boolean; imported?: ImportedSet };
    event: TrainEvent;
    result: RunRecord;
  };
  /**
   * Runs the cells of a sweep that are not finished yet, one after another; each is kept when it
   * ends. Cancelling it costs the cell in work.
   */
  sweep: { payload: { spec: unknown }; event: SweepEvent; result: SweepDocument };
  /** What is finished of the last sweep of this browser; needs no `load`. */
  sweepResults: { payload: null; event: never; result: SweepDocument | null };
  /** The run that was under way when the tab was closed, if there is one; needs no `load`. */
  checkpoint: { payload: null; event: never; result: CheckpointSummary | null };
  /** Evaluates systems on a bundled set, or on `imported`; `adapter` needs values. */
  evaluate: {
    payload: {
      set: EvaluationSet;
      /** The set that is `custom`. */
      imported?: ImportedSet;
      systems: SystemName[];
      temperature: 0 | 1;
      seed: number;
      /** As a run's record has them. */
      values: Float32Array | null;
      /** What the values are, whose strictness the guarded system has, how long answers may be. */
      recipe: Recipe;
      /** Evaluate at most this many prompts of each label; 0 = all. */
      limit: number;
    };
    event: Progress;
    result: Evaluation;
  };
  /**
   * How far a student is from the safe system, on a few held-out prompts (METHOD.md §5); between
   * two steps where a run is under way.
   */
  bound: {
    payload: {
      set: Exclude<EvaluationSet, 'custom'>;
      /** As a run's record has them; null for the run under way as it is, with its own recipe. */
      values: Float32Array | null;
      /** What the values are, and which safe system they were trained to be. */
      recipe: Recipe;
      /** Prompts of each label. */
      limit: number;
    };
    event: Progress;
    result: BoundMeasurement;
  };
  /** Greedy or sampled answers from the engine, of the frozen student or the adapted one. */
  answer: {
    payload: {
      prompts: string[];
      adaptation: Adaptation;
      system: string | null;
      temperature: number;
      seed: number;
      maxNewTokens: number;
    };
    event: Progress;
    /** `newTokens` counts all answers', stop tokens included. */
    result: { answers: string[]; newTokens: number; milliseconds: number };
  };
  /** The vectors of a shared prompt, whatever form it travels in. */
  vectors: { payload: { shared: SharedPrompt }; event: never; result: Float32Array };
  /** One answer token by token: base, safe system and adapted student at each position. */
  tokens: { payload: TokenViewRequest; event: never; result: TokenView };
  /** The soft prompt as a KV prefix for the runtime. */
  prefix: {
    payload: { softPrompt: Float32Array };
    event: never;
    result: { length: number; layers: { key: Float32Array; value: Float32Array }[] };
  };
  pause: { payload: null; event: never; result: null };
  resume: { payload: null; event: never; result: null };
  /** One step while paused. */
  step: { payload: null; event: never; result: null };
  /** Ends a training run early; its `train` request resolves with status 'stopped'. */
  stop: { payload: null; event: never; result: null };
}

export interface CheckpointSummary {
  recipe: Recipe;
  modelId: string;
  /** Steps done. */
  step: number;
  /** Milliseconds since 1970. */
  savedAt: number;
}

/** What is done so far was to be kept in this browser: done, or why not, in a sentence. */
export interface KeptEvent {
  kind: 'kept';
  problem: string | null;
}

export type TrainEvent =
  | { kind: 'progress'; progress: Progress }
  | {
      kind: 'step';
      record: StepRecord;
      tokensPerSecond: number;
      secondsLeft: number;
      gpuBytes: number;
    }
  | { kind: 'probe'; record: ProbeRecord }
  | KeptEvent
  | { kind: 'state'; state: 'running' | 'paused' };

export type SweepEvent =
  | { kind: 'progress'; progress: Progress }
  | { kind: 'cell'; id: string; index: number; total: number; secondsLeft: number | null }
  | { kind: 'outcome'; id: string; status: 'finished' | 'failed'; error: string | null }
  | KeptEvent
  | { kind: 'state'; state: 'running' | 'paused' };

/* ---------- student worker: transformers.js ---------- */

export interface RuntimeLogits {
  tokens: number[];
  /** [tokens.length, vocabSize]. */
  logits: Float32Array;
  device: 'webgpu' | 'wasm';
  /** The runtime computes in half precision; the engine in float32. */
  f16: boolean;
}

export interface StudentRequests {
  load: {
    payload: ModelRequest & { device: 'auto' | 'webgpu' | 'wasm' };
    event: Progress;
    result: OpenedModel & {
      device: 'webgpu' | 'wasm';
      reason: string;
      vocabSize: number;
      /** For the trainer, where no storage holds it: one download, or one look at a folder. */
      shared: SharedFileSet | null;
    };
  };
  /** Logits of token ids, optionally behind a KV prefix: for the parity check. */
  logits: {
    payload: { tokens: number[]; prefix: KvPrefix | null };
    event: never;
    result: RuntimeLogits;
  };
  generate: {
    payload: {
      prompt: string;
      system: string | null;
      prefix: KvPrefix | null;
      temperature: number;
      seed: number;
      maxNewTokens: number;
    };
    /** All of the answer so far. */
    event: { text: string };
    result: {
      text: string;
      promptTokens: number;
      newTokens: number;
      /** Milliseconds to the first token, prefill included. */
      firstTokenMs: number;
      tokensPerSecond: number;
    };
  };
}

export interface KvPrefix {
  length: number;
  layers: { key: Float32Array; value: Float32Array }[];
}

/* ---------- guard worker: one for guard and one for judge ---------- */

/** How a guard's outputs are read, for people. */
export type VerdictForm =
  | { kind: 'labels'; labels: string[]; safe: string[] }
  | { kind: 'generated'; safe: string; unsafe: string; by: 'runtime' | 'engine' };

export interface GuardRequests {
  load: {
    payload: ModelRequest & {
      device: 'auto' | 'webgpu' | 'wasm';
      /** How it says that a text is safe; found in the model where absent. */
      verdict?: Verdict;
      /** Where a generative guard runs; the engine steps in where the runtime cannot. */
      runOn?: 'runtime' | 'engine';
    };
    event: Progress;
    result: OpenedModel & { device: 'webgpu' | 'wasm'; reason: string; reading: VerdictForm };
  };
  score: {
    payload: { items: { prompt: string; response?: string }[] };
    event: never;
    /** P(safe) of each item. */
    result: { safe: Float64Array; milliseconds: number };
  };
  /** Hands over a port on which another worker may call `score`. */
  connect: { payload: { port: MessagePort }; event: never; result: null };
}

/** A table of requests as it goes over the wire. */
export interface RequestTable {
  [name: string]: { payload: unknown; event: unknown; result: unknown };
}

export type WireRequest<T> =
  | { [K in keyof T]: { type: 'request'; id: number; name: K; payload: Payload<T, K> } }[keyof T]
  | { type: 'cancel'; id: number };

export type WireReply =
  | { type: 'event'; id: number; event: unknown }
  | { type: 'result'; id: number; result: unknown }
  | { type: 'error'; id: number; error: WireError };

export type Payload<T, K extends keyof T> = T[K] extends { payload: infer P } ? P : never;
export type EventOf<T, K extends keyof T> = T[K] extends { event: infer E } ? E : never;
export type Result<T, K extends keyof T> = T[K] extends { result: infer R } ? R : never;
