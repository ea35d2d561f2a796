/**
 * Which objective a run trains with, as plain data (METHOD.md §4). Parsed from forms, links, command
 * lines and sweeps; `objectiveKey` is its short stable name.
 */
import {
  choiceField,
  fieldsOf,
  join,
  numberField,
  onlyFields,
  SpecError,
  type NumberRange,
} from '../data/spec-fields';
import type { Divergence } from '../../engine/types';

/** Objectives on whole next-token distributions. */
export interface DivergenceObjective {
  name: Divergence;
  /** λ: share of the loss that is taken on the student's own samples (GKD, §4.8). */
  studentShare: number;
  /** Share of the steps, from the start, that train with KL instead (§4.3: TV starves when cold). */
  klWarmup: number;
}

/** One-sample TV (§4): weighted NLL with weight q/(γ + (1−γ)q), at least `minWeight`. */
export interface TailrObjective {
  name: 'tailr';
  gamma: number;
  minWeight: number;
  klWarmup: number;
}

/** The three readings of "perplexity" (§4.5). */
export type NllReading = 'system' | 'hard' | 'refusal-only';

export interface NllObjective {
  name: 'nll';
  reading: NllReading;
}

/** R(x, r) from the response guard's s(x, r). */
export type RewardName = 'log-safe' | 'safe';

interface PolicyFields {
  /** Answers sampled for each prompt. */
  samples: number;
  /** β of the KL penalty to the frozen student, inside the reward (k1). */
  beta: number;
  reward: RewardName;
}

export interface ReinforceObjective extends PolicyFields {
  name: 'reinforce';
}

export interface PpoObjective extends PolicyFields {
  name: 'ppo';
  /** ε of the policy's clip. */
  clip: number;
  /** Optimiser steps on each set of answers. */
  epochs: number;
  /** λ of GAE; its discount is 1. */
  lambda: number;
  /** Half width of the value's clip. */
  valueClip: number;
  /** Learning rate of the value head, which does not share the adapter's. */
  valueLearningRate: number;
}

export type ObjectiveSpec =
  DivergenceObjective | TailrObjective | NllObjective | ReinforceObjective | PpoObjective;

export type ObjectiveName = ObjectiveSpec['name'];

export const OBJECTIVE_NAMES: readonly [ObjectiveName, ...ObjectiveName[]] = [
  'tv',
  'naive-tv',
  'kl',
  'reverse-kl',
  'js',
  'tailr',
  'nll',
  'reinforce',
  'ppo',
];

const share: NumberRange = { min: 0, max: 1, integer: false, default: 0 };

/** Ranges and defaults of each objective's numbers (METHOD.md §7; learning rates come from sweeps). */
export const OBJECTIVE_RANGES = {
  studentShare: share,
  klWarmup: share,
  /** γ → 0 is NLL, which has its own name; at 0 itself the weight of a token with q = 0 is 0/0. */
  gamma: { min: 0.001, max: 1, integer: false, default: 0.5 },
  minWeight: share,
  samples: { min: 2, max: 32, integer: true, default: 4 },
  beta: { min: 0, max: 10, integer: false, default: 0.05 },
  clip: { min: 0.01, max: 1, integer: false, default: 0.2 },
  epochs: { min: 1, max: 16, integer: true, default: 4 },
  lambda: { ...share, default: 0.95 },
  valueClip: { min: 0.01, max: 100, integer: false, default: 0.2 },
  valueLearningRate: { min: 1e-6, max: 1, integer: false, default: 0.01 },
} as const satisfies Record<string, NumberRange>;

type NumberName = keyof typeof OBJECTIVE_RANGES;

/**
 * A whole objective from a name ("tv") or from fields ({ name: "tailr", gamma: 0.5 }); what is
 * missing takes its default.
 * @throws SpecError for an unknown name or field, a wrong type or a number out of range
 */
export function parseObjective(value: unknown, path = 'objective'): ObjectiveSpec {
  const fields = typeof value === 'string' ? { name: value } : fieldsOf(value, path);
  if (fields.name === undefined) throw new SpecError(join(path, 'name'), `${path} has no name.`);
  const name = choiceField(fields, 'name', OBJECTIVE_NAMES, path);
  const number = (field: NumberName) => numberField(fields, field, OBJECTIVE_RANGES[field], path);
  const spec = ((): ObjectiveSpec => {
    switch (name) {
      case 'tv':
      case 'naive-tv':
      case 'kl':
      case 'reverse-kl':
      case 'js':
        return { name, studentShare: number('studentShare'), klWarmup: number('klWarmup') };
      case 'tailr':
        return {
          name,
          gamma: number('gamma'),
          minWeight: number('minWeight'),
          klWarmup: number('klWarmup'),
        };
      case 'nll':
        return {
          name,
          reading: choiceField(fields, 'reading', ['system', 'hard', 'refusal-only'], path),
        };
      case 'reinforce':
        return { name, ...policyFields(fields, number, path) };
      case 'ppo':
        return {
          name,
          ...policyFields(fields, number, path),
          clip: number('clip'),
          epochs: number('epochs'),
          lambda: number('lambda'),
          valueClip: number('valueClip'),
          valueLearningRate: number('valueLearningRate'),
        };
    }
  })();
  onlyFields(fields, Object.keys(spec), path);
  return spec;
}

function policyFields(
  fields: Readonly<Record<string, unknown>>,
  number: (field: NumberName) => number,
  path: string,
): PolicyFields {
  return {
    samples: number('samples'),
    beta: number('beta'),
    reward: choiceField(fields, 'reward', ['log-safe', 'safe'], path),
  };
}

/** A short stable name: the objective and what differs from its defaults, e.g. `tailr-gamma0.8`. */
export function objectiveKey(spec: ObjectiveSpec): string {
  return variantKey(spec, parseObjective(spec.name));
}

/** `name` or `kind` of a parsed spec and its fields that are not those of `defaults`, in their order. */
export function variantKey<T extends object>(spec: T, defaults: T): string {
  const parts = Object.entries(spec).flatMap(([field, value], i) => {
    if (i === 0) return [String(value)];
    if (JSON.stringify(value) === JSON.stringify((defaults as Record<string, unknown>)[field])) {
      return [];
    }
    return [`${field}${Array.isArray(value) ? value.join('+') : String(value)}`];
  });
  return parts.join('-');
}
