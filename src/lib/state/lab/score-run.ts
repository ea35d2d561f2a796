/** Measures a run: all four systems on one set of prompts after another. */
import type { ImportedSet } from '../../../distill/data/imported-prompts';
import { EVALUATION_SEED } from '../../../distill/train/recipe';
import type { RunRecord } from '../../../distill/types';
import { withScores } from '../chat/share';
import { session } from '../models/session.svelte';
import { type EvaluationWanted, withEvaluation } from './evaluations';

/** How much is measured when a run ends: prompts of each label; 0 means all. */
export type ScoreLimit = 0 | 40;

/** What is measured of a run, on which prompts. */
export type Wanted = EvaluationWanted | { set: 'custom'; temperature: 1; imported: ImportedSet };

/** For people: the set, and how answers are taken where it is not by sampling. */
export function wantedWords(wanted: Wanted): { set: string; how: string } {
  return {
    set: wanted.set === 'custom' ? wanted.imported.name : wanted.set,
    how: wanted.temperature === 0 ? ', greedy' : '',
  };
}

/** @returns the run with that evaluation. @throws WorkerError */
export async function scoreRun(
  run: RunRecord,
  { temperature, ...on }: Wanted,
  limit: ScoreLimit,
  signal: AbortSignal,
): Promise<RunRecord> {
  const evaluation = await session.trainer(
    'evaluate',
    {
      ...on,
      systems: ['base', 'preamble', 'guarded', 'adapter'],
      temperature,
      seed: EVALUATION_SEED,
      values: run.values.slice(),
      recipe: run.recipe,
      limit,
    },
    { signal, onEvent: (progress) => session.report('trainer', progress) },
  );
  // The link claims what was measured on wordings, the set with the most prompts.
  const isClaimed = on.set === 'wording' && temperature === 1;
  const { share } = run;
  return {
    ...run,
    evaluations: withEvaluation(run, evaluation),
    share: share !== null && isClaimed ? withScores(share, evaluation) : share,
  };
}
