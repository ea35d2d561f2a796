/** What a run may measure besides its scores: its distance to the safe system, and what it costs. */
import { decoderShape, type Adaptation } from '../adapters/adaptation';
import { storedValues } from '../adapters/adapter-spec';
import { limitItems } from '../data/dataset';
import { EVALUATION_SEED } from '../train/recipe';
import type { BoundMeasurement, PromptItem, Recipe, SystemCost, SystemName } from '../types';
import { planBound, type BoundPlan } from './bound-plan';
import { measureCost } from './cost';
import type { EvaluateDeps } from './input';
import { measureBoundOf, type BoundOptions } from './measure-bound';

export interface ExtraOptions {
  /** Prompts of each label on which the bound is measured; 0 = it is not. */
  bound: number;
  /** Rounds over a few prompts in which costs are measured; 0 = they are not. */
  cost: number;
  /** Bytes of the student's weights and of the guard's files; costs need them. */
  bytes?: { student: number; guard: number };
}

export interface Extras {
  bound?: BoundMeasurement;
  cost?: Partial<Record<SystemName, SystemCost>>;
}

/** One answer of the base to each prompt: more prompts say more than more answers. */
const BOUND_SAMPLES = 1;
const COST_PROMPTS = 4;
const COST_SYSTEMS: readonly SystemName[] = ['base', 'preamble', 'guarded', 'adapter'];

/** The safe system of a recipe, on `items`. */
export function planBoundOf(
  recipe: Recipe,
  items: readonly PromptItem[],
  deps: EvaluateDeps,
  signal?: AbortSignal,
): Promise<BoundPlan> {
  const { guardCase, maxNewTokens } = recipe;
  const input = { items, teacher: recipe, guardCase: guardCase.kind, maxNewTokens };
  return planBound({ ...input, samples: BOUND_SAMPLES, seed: EVALUATION_SEED }, deps, signal);
}

/** The student of a recipe on a plan of the same `items`. */
export function boundOf(
  recipe: Recipe,
  adaptation: Adaptation,
  plan: BoundPlan,
  items: readonly PromptItem[],
  { engine, chat, domain }: EvaluateDeps,
  options: Pick<BoundOptions, 'signal' | 'onProgress'> = {},
): Promise<BoundMeasurement> {
  const system = recipe.adapter.kind === 'preamble' ? domain.preamble : undefined;
  return measureBoundOf(engine, plan, adaptation, {
    ...options,
    ...(system !== undefined && {
      conditioned: items.map(({ prompt }) => chat.encodeChat({ system, user: prompt })),
    }),
  });
}

/** What `options` ask for, on `items`; nothing by default. */
export async function measureExtras(
  recipe: Recipe,
  adaptation: Adaptation,
  items: readonly PromptItem[],
  deps: EvaluateDeps,
  options: ExtraOptions,
  signal?: AbortSignal,
): Promise<Extras> {
  const extras: Extras = {};
  if (options.bound > 0) {
    const chosen = limitItems(items, options.bound);
    const plan = await planBoundOf(recipe, chosen, deps, signal);
    extras.bound = await boundOf(recipe, adaptation, plan, chosen, deps, { signal });
  }
  if (options.cost > 0) {
    if (!options.bytes) throw new RangeError('Costs need the bytes of student and guard.');
    const chosen = limitItems(items, COST_PROMPTS).slice(0, COST_PROMPTS);
    extras.cost = await measureCost(
      {
        prompts: chosen.map(({ prompt }) => prompt),
        systems: COST_SYSTEMS,
        adaptation,
        ...(recipe.adapter.kind === 'preamble' && { adapterSystem: deps.domain.preamble }),
        storedValues: storedValues(recipe.adapter, decoderShape(deps.engine.config)),
        guardCase: recipe.guardCase.kind,
        studentBytes: options.bytes.student,
        guardBytes: options.bytes.guard,
        newTokens: recipe.maxNewTokens,
        rounds: options.cost,
      },
      { ...deps, clock: () => performance.now() },
      signal,
    );
  }
  return extras;
}
