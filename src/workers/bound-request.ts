/** The bound of trained values on a few held-out prompts; the safe system's answers are kept. */
import type { Adaptation } from '../distill/adaptation';
import { contentHash } from '../distill/dataset';
import type { EvaluateDeps } from '../distill/evaluation/input';
import { planBound, type BoundPlan } from '../distill/evaluation/bound-plan';
import { measureBoundOf, type BoundMeasurement } from '../distill/evaluation/measure-bound';
import { EVALUATION_SEED } from '../distill/recipe';
import type { PromptItem, Recipe } from '../distill/types';

/** Answers of the base student to each prompt: more prompts say more than more answers. */
const SAMPLES = 1;

export class BoundDesk {
  private kept: { key: string; plan: BoundPlan } | null = null;

  /** @throws RangeError without prompts; the signal's reason when aborted */
  async measure(
    { adaptation, recipe, items }: { adaptation: Adaptation; recipe: Recipe; items: PromptItem[] },
    deps: EvaluateDeps,
    signal: AbortSignal,
    onProgress: (done: number, total: number) => void,
  ): Promise<BoundMeasurement> {
    const { engine, chat, domain } = deps;
    const plan = await this.plan(recipe, items, deps, signal);
    const system = recipe.adapter.kind === 'preamble' ? domain.preamble : undefined;
    return measureBoundOf(engine, plan, adaptation, {
      signal,
      onProgress,
      ...(system !== undefined && {
        conditioned: items.map(({ prompt }) => chat.encodeChat({ system, user: prompt })),
      }),
    });
  }

  private async plan(
    recipe: Recipe,
    items: PromptItem[],
    deps: EvaluateDeps,
    signal: AbortSignal,
  ): Promise<BoundPlan> {
    const { strictness, guardTemperature, guardClip, maxNewTokens, guardCase } = recipe;
    const { ids } = deps;
    const key = [
      ...[ids.student, ids.guard, contentHash(items), guardCase.kind],
      ...[strictness, guardTemperature, guardClip, maxNewTokens],
    ].join('/');
    if (this.kept?.key !== key) {
      const plan = await planBound(
        {
          ...{ items, teacher: recipe, guardCase: guardCase.kind, maxNewTokens },
          ...{ samples: SAMPLES, seed: EVALUATION_SEED },
        },
        deps,
        signal,
      );
      this.kept = { key, plan };
    }
    return this.kept.plan;
  }
}
