/** Which evaluations a run is to have: both test sets, sampled first, then greedy. */
import type { RunRecord } from '../../distill/types';

export interface EvaluationWanted {
  set: 'wording' | 'intent';
  temperature: 0 | 1;
}

const WANTED: readonly EvaluationWanted[] = [
  { set: 'wording', temperature: 1 },
  { set: 'intent', temperature: 1 },
  { set: 'wording', temperature: 0 },
  { set: 'intent', temperature: 0 },
];

/** What `run` still lacks, in the order in which it is measured. */
export function missingEvaluations(run: Pick<RunRecord, 'evaluations'>): EvaluationWanted[] {
  return WANTED.filter(
    ({ set, temperature }) =>
      !run.evaluations.some((e) => e.set === set && e.temperature === temperature),
  );
}
