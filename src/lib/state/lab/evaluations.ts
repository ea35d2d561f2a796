/** Which evaluations a run is to have: both test sets, sampled first, then greedy. */
import type { Evaluation, RunRecord } from '../../../distill/types';

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

type OnSet = Pick<Evaluation, 'set' | 'imported'>;

/** Tells apart what evaluations were made on: a bundled set, or one of the imported ones. */
export function setKey({ set, imported }: OnSet): string {
  return imported ? `${set}/${imported.hash}` : set;
}

/** What people call it. */
export function setTitle({ set, imported }: OnSet): string {
  return imported ? imported.name : set;
}

/** A run's evaluations with `added`, which takes the place of an earlier one of its kind. */
export function withEvaluation(
  { evaluations }: Pick<RunRecord, 'evaluations'>,
  added: Evaluation,
): Evaluation[] {
  const same = (one: Evaluation) =>
    setKey(one) === setKey(added) && one.temperature === added.temperature;
  return [...evaluations.filter((one) => !same(one)), added];
}
