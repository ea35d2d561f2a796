import { expect, it } from 'vitest';
import type { Evaluation } from '../../../distill/types';
import { missingEvaluations, setKey, setTitle, withEvaluation } from './evaluations';

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

it('tells imported sets apart, and keeps the last measurement of each', () => {
  const on = (hash: string): Evaluation => ({
    ...done('custom', 1),
    imported: { name: `set ${hash}`, hash, tooLong: 0 },
  });
  expect([done('wording', 1), on('a')].map(setTitle)).toEqual(['wording', 'set a']);
  expect(new Set([done('wording', 1), on('a'), on('b')].map(setKey)).size).toBe(3);
  const evaluations = [done('wording', 1), on('a'), on('b')];
  const again = { ...on('a'), seed: 1 };
  expect(withEvaluation({ evaluations }, again)).toEqual([done('wording', 1), on('b'), again]);
  expect(withEvaluation({ evaluations }, done('wording', 0))).toHaveLength(4);
});
