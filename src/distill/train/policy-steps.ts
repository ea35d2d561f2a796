/**
 * Steps of REINFORCE and PPO (METHOD.md §4.6, §4.7): answers of the student as it is now, what the
 * response guard thinks of them, and what the frozen student would have said. PPO uses one set of
 * answers for several steps. Answers follow from the seed and the step alone.
 */
import type { Example, TokenPath, Tokens } from '../../engine/types';
import { generateWith } from '../adapters/adaptation';
import type { ChatTokenizer } from '../data/chat';
import type { StudentEngine } from '../engine-port';
import type { Learner, LearnerOptions } from './learner';
import { policyExample, type Rollout } from '../objectives/rows';
import type { PpoObjective, ReinforceObjective } from '../objectives/spec';
import { EpochOrder, type Plan, type PlannedExample } from '../target/paths';
import {
  policyNumbers,
  ppoBatch,
  reinforceRollouts,
  type StudentAnswer,
} from '../objectives/policy';
import { hash32 } from '../statistics/prng';
import type { StepOutcome, Steps } from './steps';
import type { PolicyNumbers, Recipe } from '../types';
import {
  startValue,
  updateValue,
  valueLoss,
  valueOf,
  type ValueSample,
  type ValueState,
} from '../objectives/value-head';

/** s(x, r) of answers to training prompts, by the prompt's index in the training set. */
export type AnswerScorer = (
  answers: readonly { index: number; tokens: Tokens }[],
  signal?: AbortSignal,
) => Promise<number[]>;

export interface PolicyDeps {
  recipe: Recipe;
  objective: ReinforceObjective | PpoObjective;
  plan: Plan;
  engine: StudentEngine;
  chat: ChatTokenizer;
  learner: Learner;
  scoreAnswers: AnswerScorer;
  /** Of the checkpoint that the run goes on from. */
  valueHead?: ValueState;
}

/** Steps that share their answers. */
export function epochsOf(objective: ReinforceObjective | PpoObjective): number {
  return objective.name === 'ppo' ? objective.epochs : 1;
}

/** What the steps of one set of answers train on. */
interface Round {
  number: number;
  examples: Example<TokenPath>[];
  samples: ValueSample[];
  rows: number;
  policy: PolicyNumbers;
}

export class PolicySteps implements Steps {
  readonly valueHead?: ValueState;
  private readonly order: EpochOrder;
  private round: Round | null = null;

  constructor(private readonly deps: PolicyDeps) {
    const { recipe, plan, objective, engine } = deps;
    this.order = new EpochOrder(plan.examples.length, recipe.batchSize, recipe.seed);
    if (objective.name === 'ppo') {
      this.valueHead = deps.valueHead ? structuredClone(deps.valueHead) : startValue(engine.dim);
    }
  }

  between(step: number): boolean {
    return step % epochsOf(this.deps.objective) === 0;
  }

  async next(step: number, options: LearnerOptions, signal?: AbortSignal): Promise<StepOutcome> {
    const { objective, learner } = this.deps;
    const number = Math.floor(step / epochsOf(objective));
    if (this.round?.number !== number) this.round = await this.sample(number, options, signal);
    const { examples, samples, rows, policy } = this.round;
    const metrics = await learner.step({ family: 'token', examples }, options);
    if (objective.name === 'ppo' && this.valueHead) {
      const { gradient } = valueLoss(this.valueHead.head, samples, objective.valueClip);
      updateValue(this.valueHead, gradient, objective.valueLearningRate);
    }
    return { ...metrics, rows, policy };
  }

  private async sample(
    number: number,
    { quantise }: LearnerOptions,
    signal?: AbortSignal,
  ): Promise<Round> {
    const { recipe, objective, plan, learner } = this.deps;
    const batch = this.order.batch(number).map((index) => plan.examples[index]!);
    const answers = await this.answers(batch, number, quantise, signal);
    const all = answers.flat();
    const round = { number, policy: policyNumbers(all), rows: rowsOf(batch, answers) };
    if (objective.name === 'reinforce') {
      const rollouts = answers.map((own) => reinforceRollouts(own, objective));
      return { ...round, examples: examplesOf(batch, rollouts, recipe), samples: [] };
    }
    const told = await learner.along(
      batch.map(({ prompt }, i) => ({ prompt, paths: answers[i]!.map(({ tokens }) => tokens) })),
      quantise,
    );
    const { dim } = this.deps.engine;
    const states = told.flat().map(({ hidden }) => split(hidden, dim));
    const { head } = this.valueHead!;
    const values = states.map((rows) => rows.map((row) => valueOf(head, row)));
    const { rollouts, returns } = ppoBatch(all, values, objective);
    const samples = states.flatMap((rows, i) =>
      rows.map((hidden, t) => ({ hidden, return: returns[i]![t]!, oldValue: values[i]![t]! })),
    );
    const k = objective.samples;
    const grouped = batch.map((_, i) => rollouts.slice(i * k, (i + 1) * k));
    return { ...round, examples: examplesOf(batch, grouped, recipe), samples };
  }

  /** k answers to each prompt, [batch][k]. */
  private async answers(
    batch: readonly PlannedExample[],
    number: number,
    quantise: boolean,
    signal?: AbortSignal,
  ): Promise<StudentAnswer[][]> {
    const { recipe, objective, engine, chat, learner, scoreAnswers } = this.deps;
    const k = objective.samples;
    const requests = batch.flatMap(({ prompt, index }, i) =>
      Array.from({ length: k }, (_, j) => ({ prompt, stream: hash32('answer', index, i, j) })),
    );
    const generated = await engine.generate(requests, {
      ...generateWith(await learner.adaptation(quantise)),
      temperature: 1,
      seed: hash32('policy', recipe.seed, number),
      maxNewTokens: recipe.maxNewTokens,
      stopTokens: chat.stopTokens,
      signal,
    });
    signal?.throwIfAborted();
    const own = (i: number) => generated.slice(i * k, (i + 1) * k).map(({ tokens }) => tokens);
    const inputs = batch.map(({ prompt }, i) => ({ prompt, paths: own(i) }));
    const base = (await engine.scorePaths(inputs, undefined, signal)).flat();
    const safe = await scoreAnswers(
      generated.map(({ tokens }, i) => ({ index: batch[Math.floor(i / k)]!.index, tokens })),
      signal,
    );
    signal?.throwIfAborted();
    const answers = generated.map(({ tokens, logProbs }, i): StudentAnswer => {
      return { tokens, logProbs, base: base[i]!, safe: safe[i]! };
    });
    return batch.map((_, i) => answers.slice(i * k, (i + 1) * k));
  }
}

function examplesOf(
  batch: readonly PlannedExample[],
  rollouts: readonly (readonly Rollout[])[],
  recipe: Recipe,
): Example<TokenPath>[] {
  return batch.map(({ prompt }, i) => policyExample(prompt, rollouts[i]!, recipe));
}

function rowsOf(
  batch: readonly PlannedExample[],
  answers: readonly (readonly StudentAnswer[])[],
): number {
  return batch.reduce(
    (sum, { prompt }, i) =>
      answers[i]!.reduce((rows, { tokens }) => rows + tokens.length, sum + prompt.length),
    0,
  );
}

/** Rows of [T, dim]. */
function split(hidden: Float32Array, dim: number): Float32Array[] {
  return Array.from({ length: hidden.length / dim }, (_, t) =>
    hidden.subarray(t * dim, (t + 1) * dim),
  );
}
