/** The bound of a student on a few held-out prompts; the safe system's own answers are kept. */
import type { Adaptation } from '../../distill/adapters/adaptation';
import { contentHash } from '../../distill/data/dataset';
import type { BoundPlan } from '../../distill/evaluation/bound-plan';
import { boundOf, planBoundOf } from '../../distill/evaluation/extras';
import type { EvaluateDeps } from '../../distill/evaluation/input';
import type { BoundMeasurement, PromptItem, Recipe } from '../../distill/types';

export class BoundMeasurer {
  private kept: { key: string; plan: BoundPlan } | null = null;

  /** @throws RangeError without prompts; the signal's reason when aborted */
  async measure(
    { adaptation, recipe, items }: { adaptation: Adaptation; recipe: Recipe; items: PromptItem[] },
    deps: EvaluateDeps,
    signal: AbortSignal,
    onProgress: (done: number, total: number) => void,
  ): Promise<BoundMeasurement> {
    const { strictness, guardTemperature, guardClip, maxNewTokens, guardCase } = recipe;
    const { ids } = deps;
    const key = [
      ...[ids.student, ids.guard, contentHash(items), guardCase.kind],
      ...[strictness, guardTemperature, guardClip, maxNewTokens],
    ].join('/');
    if (this.kept?.key !== key) {
      this.kept = { key, plan: await planBoundOf(recipe, items, deps, signal) };
    }
    const { plan } = this.kept;
    return boundOf(recipe, adaptation, plan, items, deps, { signal, onProgress });
  }
}
