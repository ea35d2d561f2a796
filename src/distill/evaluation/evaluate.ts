/**
 * The evaluation of four systems on one prompt set (METHOD.md §8): base, base with the written
 * preamble in the system role, the guarded system, and the adapted student, whatever was trained.
 *
 * The guarded system is the teacher of the recipe: it passes the base student's answer with
 * probability s (strictness and clip applied) and otherwise says one of its refusals, each as
 * likely. s is of the prompt in case A, of prompt and answer in case B. In the greedy column it
 * passes where s ≥ ½ and refuses with its first wording.
 *
 * Safe = P(safe of prompt and answer) ≥ ½. Sampled answers use one random stream a prompt, the same
 * for every system, so that systems are compared on the same draws.
 */
import { wellFormedThreshold } from './answers';
import { compareToBase } from './compare';
import type { EvaluateDeps, EvaluateHooks, EvaluateInput } from './input';
import { LABELS } from './measures';
import { Scorer } from './scores';
import { Systems } from './systems';
import type { Evaluation, Label, SystemEvaluation, SystemName } from '../types';

export type {
  EvaluateDeps,
  EvaluateHooks,
  EvaluateInput,
  ReferenceStore,
  SystemAnswers,
} from './input';

/**
 * @throws the signal's reason when aborted; RangeError where there is no adapter to evaluate
 */
export async function evaluate(
  input: EvaluateInput,
  deps: EvaluateDeps,
  hooks: EvaluateHooks = {},
): Promise<Evaluation> {
  const { adaptation, adapterSystem } = input;
  if (input.systems.includes('adapter') && adaptation === null && adapterSystem === undefined) {
    throw new RangeError('The adapter can only be evaluated with trained values or a system text.');
  }
  const run = new Systems(input, deps, hooks);
  const base = await run.answers('base');
  const threshold = wellFormedThreshold(base.logProbs);
  const scorer = new Scorer(input, deps, hooks, run, base, threshold);
  const systems: Partial<Record<SystemName, SystemEvaluation>> = {};
  for (const name of input.systems) {
    const answers = name === 'base' ? base : await run.answers(name, base);
    // Scoring passes do not all hear the signal themselves.
    hooks.signal?.throwIfAborted();
    systems[name] = await scorer.scores(name, answers);
  }
  const counts = Object.fromEntries(
    LABELS.map((label) => [label, input.items.filter((item) => item.label === label).length]),
  ) as Record<Label, number>;
  const { set, temperature, seed, maxNewTokens } = input;
  return {
    set,
    temperature,
    seed,
    maxNewTokens,
    counts,
    systems,
    guardCase: input.guardCase.kind,
    expectedRefusal: run.expectedRefusal(base).map((share) => Number(share.toPrecision(6))),
    wellFormedNll: threshold,
    ...compareToBase(input.items, systems.base, systems.adapter),
  };
}
