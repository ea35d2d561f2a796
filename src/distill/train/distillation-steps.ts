/**
 * Steps of the objectives that learn from the safe system: divergences to its next-token
 * distribution, likelihood and TaiLr on its answers (METHOD.md §4.1 to §4.5), with a share of the
 * loss on the student's own answers where asked for (§4.8).
 */
import { exampleRows, packedAs } from '../../engine/pack';
import type { Example, StepMetrics, TeacherPath, Tokens } from '../../engine/types';
import { generateWith } from '../adapters/adaptation';
import type { ChatTokenizer } from '../data/chat';
import type { StudentEngine } from '../engine-port';
import type { Learner, LearnerOptions } from './learner';
import { distillationBatch, needsTeacher, withStudentPath } from '../objectives/rows';
import { STEPS_AHEAD } from '../target/answer-supply';
import { EpochOrder, type Plan, type PlannedExample } from '../target/paths';
import { hash32 } from '../statistics/prng';
import { TeacherCache } from '../target/teacher-cache';
import type { StepOutcome, Steps } from './steps';
import type { Recipe } from '../types';

export interface DistillationDeps {
  recipe: Recipe;
  plan: Plan;
  engine: StudentEngine;
  chat: ChatTokenizer;
  learner: Learner;
  /** Bytes of teacher states to keep between epochs. */
  teacherBytes: number;
}

/** λ of GKD, 0 for objectives that have none. */
export function studentShare({ objective }: Pick<Recipe, 'objective'>): number {
  return 'studentShare' in objective ? objective.studentShare : 0;
}

export class DistillationSteps implements Steps {
  private readonly order: EpochOrder;
  private readonly cache: TeacherCache;

  constructor(private readonly deps: DistillationDeps) {
    const { recipe, plan, teacherBytes } = deps;
    this.order = new EpochOrder(plan.examples.length, recipe.batchSize, recipe.seed);
    this.cache = new TeacherCache(teacherBytes);
  }

  async next(step: number, options: LearnerOptions, signal?: AbortSignal): Promise<StepOutcome> {
    const { recipe, plan, learner } = this.deps;
    const positions = this.order.batch(step);
    // A student that learns from its own answers alone needs none of these.
    if (plan.draw && studentShare(recipe) < 1) {
      await plan.draw(positions, () => this.ahead(step), signal);
    }
    const drawn = positions.map((index) => plan.examples[index]!);
    const examples =
      studentShare(recipe) > 0 ? await this.withAnswers(drawn, step, options, signal) : drawn;
    const teachers = await this.teachers(examples);
    const batch = distillationBatch(recipe, examples, teachers, plan.trie);
    signal?.throwIfAborted();
    // "Refusals only" has nothing to say about a batch of harmless prompts.
    const metrics: StepMetrics =
      batch.examples.length === 0
        ? { loss: 0, gradientNorm: 0 }
        : await learner.step(batch, options);
    return { ...metrics, rows: packedAs(batch).reduce((sum, one) => sum + exampleRows(one), 0) };
  }

  /** The examples of the next steps; an order of its own, since one only goes forward. */
  private ahead(step: number): number[] {
    const { recipe, plan } = this.deps;
    const order = new EpochOrder(plan.examples.length, recipe.batchSize, recipe.seed);
    const last = Math.min(step + STEPS_AHEAD, recipe.steps);
    return Array.from({ length: Math.max(0, last - step - 1) }, (_, i) =>
      order.batch(step + 1 + i),
    ).flat();
  }

  /**
   * What the frozen student says along each example's paths, null where no target reads it; one pass
   * for what the cache does not have. Answers of the student itself are new each time.
   */
  private async teachers(
    batch: readonly PlannedExample[],
  ): Promise<(readonly TeacherPath[] | null)[]> {
    const { objective, guardCase } = this.deps.recipe;
    const asked: Example[] = [];
    /** Where in `asked` the paths of an example are, by the example's index, and its own answers'. */
    const fresh = new Map<number, number>();
    const own = new Map<PlannedExample, number>();
    const ask = (prompt: Tokens, paths: readonly Tokens[]) => asked.push({ prompt, paths }) - 1;
    const known = new Map<number, readonly TeacherPath[]>();
    for (const planned of batch) {
      if (!needsTeacher(objective, guardCase, planned)) continue;
      const { index, prompt, paths } = planned;
      const answers = paths.filter(({ kind }) => kind === 'student');
      const others = paths.filter(({ kind }) => kind !== 'student');
      const tokensOf = (list: typeof paths) => list.map(({ tokens }) => tokens);
      if (answers.length > 0) own.set(planned, ask(prompt, tokensOf(answers)));
      if (others.length === 0 || known.has(index) || fresh.has(index)) continue;
      const entry = this.cache.get(index);
      if (entry) known.set(index, entry);
      else fresh.set(index, ask(prompt, tokensOf(others)));
    }
    const told = asked.length > 0 ? await this.deps.learner.teach(asked) : [];
    for (const [index, at] of fresh) {
      known.set(index, told[at]!);
      this.cache.set(index, told[at]!);
    }
    return batch.map((planned) => {
      if (!needsTeacher(objective, guardCase, planned)) return null;
      const at = own.get(planned);
      return [...(known.get(planned.index) ?? []), ...(at === undefined ? [] : told[at]!)];
    });
  }

  /** Each example with a new answer of the student to it; of share 1, that answer alone. */
  private async withAnswers(
    batch: readonly PlannedExample[],
    step: number,
    { quantise }: LearnerOptions,
    signal?: AbortSignal,
  ): Promise<PlannedExample[]> {
    const { recipe, engine, chat, learner } = this.deps;
    const share = studentShare(recipe);
    const answers = await engine.generate(
      batch.map(({ prompt, index }, i) => ({ prompt, stream: hash32('student', index, i) })),
      {
        ...generateWith(await learner.adaptation(quantise)),
        temperature: 1,
        seed: hash32('student', recipe.seed, step),
        maxNewTokens: recipe.maxNewTokens,
        stopTokens: chat.stopTokens,
        signal,
      },
    );
    signal?.throwIfAborted();
    return batch.map((planned, i) => {
      const kept = share < 1 ? planned : { ...planned, paths: [] };
      return withStudentPath(kept, answers[i]!.tokens, share);
    });
  }
}
