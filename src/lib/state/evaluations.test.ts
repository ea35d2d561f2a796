import { expect, it } from 'vitest';
import type { Evaluation } from '../../distill/types';
import { missingEvaluations } from './evaluations';

function done(set: Evaluation['set'], temperature: number): Evaluation {
  const counts = { harmful: 1, borderline: 1, benign: 1 };
  return { set, temperature, seed: 0, maxNewTokens: 48, counts, systems: {} };
}

it('measures sampled answers of both sets before greedy ones', () => {
  expect(missingEvaluations({ evaluations: [] }).map((e) => [e.set, e.temperature])).toEqual([
    ['wording', 1],
    ['intent', 1],
    ['wording', 0],
    ['intent', 0],
  ]);
});

it('goes on where a run was left', () => {
  const evaluations = [done('wording', 1), done('intent', 1), done('wording', 0)];
  expect(missingEvaluations({ evaluations })).toEqual([{ set: 'intent', temperature: 0 }]);
});
