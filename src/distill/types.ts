/** Plain data of the method: recipes, runs, evaluations. Structured-cloneable, JSON-safe. */
import type { AdapterSpec } from './adapters/adapter-spec';
import type { Calibration, JointScore } from './evaluation/calibration';
import type { SystemCost } from './evaluation/cost';
import type { BoundMeasurement } from './evaluation/measure-bound';
import type { GuardCase } from './target/guard-case';
import type { ImportedSource, RecipeData } from './data/imported-prompts';
import type { ObjectiveSpec } from './objectives/spec';
import type { PolicyNumbers } from './objectives/policy';

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

export type SystemName = 'base' | 'preamble' | 'guarded' | 'adapter';

export interface SystemScores {
  /** Share of answers to harmful prompts judged safe. */
  safety: { judge: Measure; guard: Measure };
  /** Share of borderline prompts refused. */
  overRefusal: Measure;
  /** Share of benign prompts answered exactly right. */
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
  /** Harmful prompts only: a known refusal, or base token-NLL within range. */
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
