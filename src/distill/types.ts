/** Plain data of the method: recipes, runs, evaluations. Structured-cloneable, JSON-safe. */
import type { AdapterSpec } from './adapters/adapter-spec';
import type { Bound, BoundEstimate } from './evaluation/bound';
import type { GuardCase } from './target/guard-case';
import type { ObjectiveSpec } from './objectives/spec';

export type Label = 'harmful' | 'borderline' | 'benign';

export interface PromptItem {
  id: string;
  prompt: string;
  label: Label;
  /** Prompts of one intent are one cluster in the bootstrap. */
  intent: string;
  category?: string;
  style?: string;
  wrapper?: string;
  /** The one right answer of a benign prompt. */
  answer?: string;
  /** What right answers hold, where more than one is: any of them as whole words. */
  accepted?: string[];
  /** How it is asked: question, order, story, list, code, chat. */
  form?: string;
  /** Shared by a harmful prompt and its harmless twin. */
  pair?: string;
}

/** Everything that decides a run. Two equal recipes give equal runs on one device. */
export interface Recipe {
  /** A model source as text (formats/source-text.ts): `pocket`, `hub:org/name@revision/q4`. */
  student: string;
  /** A guard's source and how its verdict is read, as text in the same form. */
  guard: string;
  /** What is trained. */
  adapter: AdapterSpec;
  objective: ObjectiveSpec;
  /** What the guard of the system that is distilled reads. */
  guardCase: GuardCase;
  steps: number;
  /** Examples a step; each has a refusal path and a sampled path. */
  batchSize: number;
  learningRate: number;
  /** Share of the steps in which the learning rate rises from 0; then it falls as a cosine. */
  warmup: number;
  /** Global gradient norm above which gradients are scaled down. */
  clipNorm: number;
  seed: number;
  /** b in logit s′ = logit(s)/τ + b (METHOD.md §3.3); negative is stricter. */
  strictness: number;
  /** τ, the guard's calibration temperature. */
  guardTemperature: number;
  /** s is clipped to [ε, 1 − ε]. */
  guardClip: number;
  /** Sampled answers and refusal paths end here, in tokens. */
  maxNewTokens: number;
  /** Share of the last steps that train through the link's int4 quantisation. */
  quantiseLast: number;
  /** Imported prompts that are trained on; absent where it is the bundled ones alone. */
  data?: RecipeData;
}

export interface Interval {
  low: number;
  high: number;
}

export interface Measure {
  /** NaN (null in JSON) where n is 0. */
  value: number;
  /** 95 % interval: Wilson for proportions, bootstrap for means. */
  low: number;
  high: number;
  n: number;
  /** 95 % bootstrap interval over whole intents. */
  cluster?: { low: number; high: number; clusters: number };
}

/** Imported prompts that a run trains on. */
export interface RecipeData {
  /** Instead of the bundled training prompts, or besides them. */
  prompts: 'replace' | 'add';
  /** Of the set, for people. */
  name: string;
  /** `contentHash` of the whole set. */
  hash: string;
}

/** What an evaluation on an imported set was made on. */
export interface ImportedSource {
  name: string;
  /** `contentHash` of the whole set. */
  hash: string;
  /** Prompts of it that do not fit the student. */
  tooLong: number;
}

export type SystemName = 'base' | 'preamble' | 'guarded' | 'adapter';

export interface CalibrationBin extends Interval {
  /** Expected refusals from here … */
  from: number;
  /** … to here; the last bin holds its end. */
  to: number;
  n: number;
  /** Mean of what was expected of the bin's prompts. */
  expected: number;
  /** Share that was refused; `low` and `high` are Wilson's interval. */
  refused: number;
}

export interface Calibration {
  /** Bins that have prompts, ascending. */
  bins: CalibrationBin[];
  /** Expected calibration error: Σ n_b/N · |refused − expected|. */
  error: number;
  /**
   * What that error would be if every prompt were refused with exactly its expected probability:
   * mean and 95th percentile. Small bins make it large, so an error is only one beyond it.
   */
  chance: { mean: number; high: number };
  /** Mean refusals less mean expected ones: positive is over-refusal. */
  bias: number;
  n: number;
}

export interface JointScore extends Measure {
  /** Share of harmful prompts with a safe answer, and of the others that were answered. */
  safe: number;
  answered: number;
}

export interface SystemScores {
  /**
   * Share of twins with both sides right: the harmful one refused, the harmless one not. Missing
   * where no pair of the set is whole.
   */
  pairs?: Measure;
  /** Share of answers to harmful prompts judged safe. */
  safety: { judge: Measure; guard: Measure };
  /** Share of borderline prompts refused. */
  overRefusal: Measure;
  /** Share of benign prompts answered right, where it is known what is. */
  usefulness: Measure;
  /** Mean per-token KL(base ‖ system) on base answers to benign and borderline prompts, nats. */
  tokenKl: Measure | null;
  /** Share of judged-safe answers to harmful prompts that are well formed. */
  wellFormed: Measure;

  /* What follows is missing in records of earlier versions. */

  /** Share refused, by string. */
  refusal?: Record<Label, Measure>;
  /**
   * Without decoding (METHOD.md §8): mean log-odds that the first tokens open a refusal, and the
   * share of prompts where that is likelier than not. Absent for the guarded system of case B.
   */
  firstToken?: { score: Record<Label, Measure>; refused: Record<Label, Measure> };
  /** Harmful prompts answered safely *and* the others answered (rightly, where that is known). */
  joint?: JointScore;
  /** Share of harmful prompts with an answer judged unsafe; the wrapper `none` is the plain prompt. */
  attackSuccess?: { wrapper: Record<string, Measure>; category: Record<string, Measure> };
  /** Share of borderline prompts refused, by style. */
  overRefusalByStyle?: Record<string, Measure>;
  /** Answers to harmful prompts judged safe, borderline prompts refused; where prompts have forms. */
  byForm?: { safety: Record<string, Measure>; overRefusal: Record<string, Measure> };
  /** Mean per-token TV(base, system) on the same answers as `tokenKl`. */
  tokenTv?: Measure | null;
  /** Whether these two are over the whole vocabulary, or estimated from the sampled tokens alone. */
  tokenDistance?: 'exact' | 'sampled';
  /** Refusals by string against `Evaluation.expectedRefusal`, over all prompts. */
  calibration?: Calibration;
}

export interface AnswerRecord {
  id: string;
  answer: string;
  /** P(safe) of prompt and answer. */
  judgeSafe: number;
  guardSafe: number;
  refused: boolean;
  /** Benign prompts with a reference answer only. */
  correct?: boolean;
  /** Harmful prompts only: a known refusal, or ended and base token-NLL within range. */
  wellFormed?: boolean;
  /** Log-odds that the first tokens open a refusal, nats, clamped to ±30. */
  refusalScore?: number;
}

export interface SystemEvaluation {
  scores: SystemScores;
  answers: AnswerRecord[];
}

export type EvaluationSet = 'wording' | 'intent' | 'custom';

export interface Evaluation {
  set: EvaluationSet;
  /** Which prompts, where the set is `custom`; missing in records of earlier versions. */
  imported?: ImportedSource;
  /** 1 with one seeded sample a prompt, or 0 for greedy. */
  temperature: number;
  seed: number;
  maxNewTokens: number;
  counts: Record<Label, number>;
  systems: Partial<Record<SystemName, SystemEvaluation>>;
  /** What the guarded system's guard read; absent in earlier records, where it was the prompt. */
  guardCase?: GuardCase['kind'];
  /**
   * How likely the teacher refuses each prompt, in the order of the answers: 1 − s(x), or with a
   * response guard u(x), the mean of 1 − s(x, r) over sampled answers of the base (in earlier records
   * over one).
   */
  expectedRefusal?: number[];
  /** base usefulness − adapter usefulness on the same prompts, paired bootstrap. */
  usefulnessDrop?: Measure;
  /** Base against adapter on harmful prompts, judged answers: McNemar's exact test. */
  safetyTest?: { onlyBaseSafe: number; onlyAdapterSafe: number; pValue: number };
  /** Mean token-NLL of the base student, nats, up to which an answer counts as well formed. */
  wellFormedNll?: number;
}

export interface PolicyNumbers {
  /** Mean of s(x, r) over the answers. */
  safe: number;
  /** Mean one-sample KL(q ‖ π) of whole answers, nats. */
  kl: number;
  /** Mean tokens of an answer. */
  length: number;
}

export interface StepRecord {
  step: number;
  loss: number;
  gradientNorm: number;
  learningRate: number;
  seconds: number;
  /** Of the student's own answers, where it learns from them. */
  policy?: PolicyNumbers;
}

/** A small look at the student while it trains; never the reported score. */
export interface ProbeRecord {
  step: number;
  safety: Measure;
  overRefusal: Measure;
  usefulness: Measure;
  samples: { prompt: string; label: Label; answer: string; safe: number }[];
}

export interface BoundMeasurement {
  guardCase: GuardCase['kind'];
  prompts: number;
  /** Sampled answers of the safe system, refusals included. */
  samples: number;
  /** Band level: 1 − δ. */
  level: number;
  /** TV of whole answers, mean over prompts. */
  sequenceTv: BoundEstimate;
  /** TV, C and Σ by horizon; null in case B. */
  bound: Bound | null;
  /** Σ under the student's own answers, by horizon; null where it was not asked for. */
  studentSum: { horizon: number; sum: BoundEstimate }[] | null;
  /** TV of {one of the known refusals, anything else}; it has no sampling error in case A. */
  event: { tv: number; gap: number; teacher: number; student: number };
}

/** Milliseconds, or a rate, over prompts and rounds. */
export interface Spread {
  median: number;
  /** Quartiles. */
  low: number;
  high: number;
  n: number;
}

export interface SystemCost {
  /** Beyond the student: the adapter's values in f32 or f16, or the text of a preamble, or the guard. */
  bytes: { f32: number; f16: number };
  /** `bytes.f16` as a share of the student's. */
  share: number;
  /** Rows of the student before the first token: of every prompt, mean, and once for all of them. */
  prefillRows: { every: number; once: number };
  /**
   * Milliseconds to the first token of a prompt that comes alone, the prefix and the guard included.
   * With a guard that reads the answer, that is when the guard has passed the whole of it.
   */
  firstToken: Spread;
  /**
   * Milliseconds by which one prompt more lengthens a batch that already has its prefix: what prefill
   * costs where the prefix is cached. The guard's time is in it.
   */
  cachedFirstToken: Spread;
  /** The guard's milliseconds for one prompt or answer; null for systems without a guard. */
  guard: Spread | null;
  /** One answer at a time, after its first token. */
  tokensPerSecond: Spread;
}

export interface RunEnvironment {
  commit: string;
  version: string;
  runtime: string;
  adapter: string;
  software: boolean;
  /** How the engine used memory in training, in words. */
  memory?: string;
}

export interface RunRecord {
  id: string;
  /** ISO 8601. */
  createdAt: string;
  recipe: Recipe;
  /** Hex of the first bytes of the sha256 of the student's manifest. */
  modelId: string;
  environment: RunEnvironment;
  steps: StepRecord[];
  probes: ProbeRecord[];
  /**
   * What the engine is conditioned with: a soft prompt [n, dim] as its link carries it, or an
   * adapter's values in the order of its layout; empty where nothing is trained.
   */
  values: Float32Array;
  dim: number;
  evaluations: Evaluation[];
  /** Prompts that were trained on, where some were imported. */
  trainedOn?: { prompts: number; tooLong: number };
  /** The distance to the safe system on held-out wordings, and costs, where they were asked for. */
  bound?: BoundMeasurement;
  cost?: Partial<Record<SystemName, SystemCost>>;
  /** Seconds by phase. */
  seconds: Record<string, number>;
  /** The text after `/p#`; null where what was trained does not fit into a link. */
  share: string | null;
  status: 'finished' | 'stopped';
}

/** P(safe) of prompts, alone or with a response. */
export interface Guard {
  score(items: readonly { prompt: string; response?: string }[]): Promise<Float64Array>;
}
