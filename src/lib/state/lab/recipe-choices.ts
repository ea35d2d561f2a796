/**
 * What the form shows of a recipe's specifications: their kinds, and the few numbers and choices of
 * the one that is chosen. Ranges and defaults are the method's.
 */
import {
  ADAPTER_KINDS,
  ADAPTER_RANGES,
  parseAdapter,
  type AdapterKind,
  type AdapterSpec,
} from '../../../distill/adapters/adapter-spec';
import {
  GUARD_CASE_RANGES,
  parseGuardCase,
  type GuardCase,
} from '../../../distill/target/guard-case';
import { OBJECTIVES } from '../../../distill/objectives/catalogue';
import {
  OBJECTIVE_NAMES,
  OBJECTIVE_RANGES,
  parseObjective,
  type ObjectiveName,
  type ObjectiveSpec,
} from '../../../distill/objectives/spec';
import type { NumberRange } from '../../../distill/data/spec-fields';

export interface NumberControl {
  label: string;
  help: string;
  range: Readonly<Omit<NumberRange, 'default'>>;
}

export interface Choice<T extends string> {
  value: T;
  label: string;
}

const ADAPTER_LABELS: Record<AdapterKind, string> = {
  'soft-prompt': 'Soft prompt',
  lora: 'LoRA',
  steering: 'Steering vectors',
  preamble: 'Written preamble',
};

const ADAPTER_HELP: Record<AdapterKind, string> = {
  'soft-prompt': 'A few vectors before the question. Fits into a link.',
  lora: 'Thin matrices beside the student’s own, in every layer.',
  steering: 'One vector added to the residual stream behind layers.',
  preamble: 'The safety text in the system role. Nothing is trained.',
};

export const ADAPTER_CHOICES: readonly Choice<AdapterKind>[] = ADAPTER_KINDS.map((value) => ({
  value,
  label: ADAPTER_LABELS[value],
}));

/** By where the training answers come from. */
export const OBJECTIVE_GROUPS: readonly { label: string; choices: Choice<ObjectiveName>[] }[] = [
  { label: 'Distils the safe system', family: 'distillation' },
  { label: 'Optimises directly', family: 'direct' },
].map(({ label, family }) => ({
  label,
  choices: OBJECTIVE_NAMES.filter((name) => OBJECTIVES[name].family === family).map((value) => ({
    value,
    label: OBJECTIVES[value].label,
  })),
}));

export const GUARD_CHOICES: readonly Choice<GuardCase['kind']>[] = [
  { value: 'prompt', label: 'Question' },
  { value: 'response', label: 'Question and answer' },
];

const GUARD_HELP: Record<GuardCase['kind'], string> = {
  prompt: 'The safe system is known exactly, token by token.',
  response: 'Answers are sampled, and the guard accepts or replaces each.',
};

export function adapterHelp({ kind }: AdapterSpec): string {
  return ADAPTER_HELP[kind];
}

export function objectiveHelp({ name }: ObjectiveSpec): string {
  return OBJECTIVES[name].summary;
}

export function guardHelp({ kind }: GuardCase): string {
  return GUARD_HELP[kind];
}

/** A number of a specification, and its control. */
export interface SpecNumber {
  key: string;
  value: number;
  control: NumberControl;
}

/** One of a few words of a specification. */
export interface SpecWord {
  key: string;
  label: string;
  value: string;
  choices: readonly Choice<string>[];
}

type Ranges = Readonly<Record<string, NumberControl['range']>>;
type Words = Readonly<Record<string, readonly [label: string, help: string]>>;

/** Of adapters; apart from those of objectives, which may use the same letter for another thing. */
const ADAPTER_WORDS: Words = {
  n: ['Virtual tokens', 'Trained vectors before the question. 16 fit into a chat link.'],
  size: ['Values', 'What is trained and travels instead of whole vectors.'],
  rank: ['Rank', 'Columns of the thin matrices; 1 or 2 train as much as a soft prompt.'],
  alpha: ['Alpha', 'The matrices are scaled by alpha / rank.'],
  depth: ['Depth', 'Which layer, as a share of all; 0 is the first.'],
  scale: ['Scale', 'What the difference is multiplied with.'],
};

const SAMPLES = ['Answers a question', 'More cost time and are less noisy.'] as const;

const OBJECTIVE_WORDS: Words = {
  studentShare: ['On its own answers', 'Share of the loss on what the student says itself.'],
  klWarmup: ['KL warm-up', 'Share of the steps that start with KL.'],
  gamma: ['γ', 'Near 0 it is likelihood, at 1 total variation.'],
  minWeight: ['Least weight', 'Below it no token is trusted less.'],
  samples: SAMPLES,
  beta: ['β', 'Price of leaving the frozen student.'],
  clip: ['Clip', 'How far a token’s probability may move on one set of answers.'],
  epochs: ['Steps a set', 'Updates on each set of answers.'],
  lambda: ['λ of GAE', '1 trusts the reward, 0 the value head.'],
  valueClip: ['Value clip', 'How far the value head may move on one set of answers.'],
  valueLearningRate: ['Value rate', 'Learning rate of the value head.'],
};

const GUARD_CASE_WORDS: Words = {
  samples: SAMPLES,
  denseBelow: ['Dense below', 'Questions replaced this seldom keep whole distributions.'],
};

const CHOICE_WORDS: Readonly<Record<string, readonly [label: string, ...Choice<string>[]]>> = {
  form: [
    'Form',
    { value: 'full', label: 'whole vectors' },
    { value: 'rows', label: 'a few values a vector' },
    { value: 'global', label: 'a few values in all' },
  ],
  layers: ['Behind', { value: 'all', label: 'every layer' }, { value: 'one', label: 'one layer' }],
  source: [
    'Vector',
    { value: 'trained', label: 'trained' },
    { value: 'difference', label: 'difference of means' },
    { value: 'refusal', label: 'refusal direction, by trial' },
  ],
  reading: [
    'Answers of',
    { value: 'system', label: 'the safe system' },
    { value: 'hard', label: 'the likelier branch' },
    { value: 'refusal-only', label: 'refusals alone' },
  ],
  reward: [
    'Reward',
    { value: 'log-safe', label: 'log P(safe)' },
    { value: 'safe', label: 'P(safe)' },
  ],
  sampling: [
    'Learns from',
    { value: 'exact', label: 'accepted answers' },
    { value: 'mean', label: 'the mean verdict' },
    { value: 'accepted', label: 'accepted, as with a question guard' },
  ],
};

function numbers(spec: object, ranges: Ranges, named: Words): SpecNumber[] {
  return Object.entries(spec).flatMap(([key, value]) => {
    const range = ranges[key];
    const words = named[key];
    if (typeof value !== 'number' || !range || !words) return [];
    return [{ key, value, control: { label: words[0], help: words[1], range } }];
  });
}

/** The numbers of an adapter that mean something in its present form. */
export function adapterNumbers(adapter: AdapterSpec): SpecNumber[] {
  const hidden = new Set<string>();
  const ranges: Record<string, NumberControl['range']> = { ...ADAPTER_RANGES };
  if (adapter.kind === 'soft-prompt') {
    if (adapter.form === 'full') hidden.add('size');
    else ranges.size = ADAPTER_RANGES[adapter.form];
  }
  if (adapter.kind === 'steering') {
    if (adapter.layers === 'all' || adapter.source === 'refusal') hidden.add('depth');
    if (adapter.source === 'trained') hidden.add('scale');
  }
  return numbers(adapter, ranges, ADAPTER_WORDS).filter(({ key }) => !hidden.has(key));
}

export function objectiveNumbers(objective: ObjectiveSpec): SpecNumber[] {
  return numbers(objective, OBJECTIVE_RANGES, OBJECTIVE_WORDS);
}

export function guardNumbers(guardCase: GuardCase): SpecNumber[] {
  return numbers(guardCase, GUARD_CASE_RANGES, GUARD_CASE_WORDS);
}

export function specWords(spec: object): SpecWord[] {
  return Object.entries(spec).flatMap(([key, value]) => {
    const words = CHOICE_WORDS[key];
    if (typeof value !== 'string' || !words) return [];
    // The layer of a refusal direction is found by trial.
    if (key === 'layers' && 'source' in spec && spec.source === 'refusal') return [];
    const [label, ...choices] = words;
    return [{ key, label, value, choices }];
  });
}

/** With another number; not checked, so that a form can show what is wrong with it. */
export function withNumber<T extends object>(spec: T, key: string, value: number): T {
  return { ...spec, [key]: value };
}

/** With another choice; numbers that it gives another meaning take their defaults. */
export function adapterWith(adapter: AdapterSpec, key: string, value: string): AdapterSpec {
  if (adapter.kind === 'soft-prompt' && key === 'form') {
    return parseAdapter({ kind: adapter.kind, n: adapter.n, form: value });
  }
  if (adapter.kind === 'steering' && key === 'source') {
    const { kind, layers, depth } = adapter;
    return parseAdapter({ kind, layers, depth, source: value });
  }
  return parseAdapter({ ...adapter, [key]: value });
}

export function objectiveWith(objective: ObjectiveSpec, key: string, value: string): ObjectiveSpec {
  return parseObjective({ ...objective, [key]: value });
}

export function guardCaseWith(guardCase: GuardCase, key: string, value: string): GuardCase {
  return parseGuardCase({ ...guardCase, [key]: value });
}
