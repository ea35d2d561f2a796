import { expect, it } from 'vitest';
import type { Measure, PromptItem } from '../../distill/types';
import { toCsv } from './export';
import { itemsOf, valuesOf } from './items';
import { pointsFrom, unitsOf } from './points';
import { measuredCells, openSweep } from './sweep-document';
import { testingSweep } from './sweeps.testing';

const prompts: PromptItem[] = ['harmful', 'benign'].map((label, i) => {
  return { id: `${i}`, prompt: label, label, intent: label, answer: 'Yes.' } as PromptItem;
});
const points = pointsFrom(
  measuredCells(openSweep(JSON.stringify(testingSweep(prompts))), 'wording'),
  'judge',
);
const measure = (n: number): Measure => ({ value: n ? 0.5 : NaN, low: 0.1, high: 0.9, n });

it("draws people's scores where both axes have votes, and writes what there is", () => {
  const [base, other] = points;
  const humans = [
    { point: base!, score: { safety: measure(4), usefulness: measure(4) } },
    { point: other!, score: { safety: measure(3), usefulness: measure(0) } },
  ];
  const human = itemsOf(points, unitsOf(points, []), humans).filter((i) => i.size === 'human');
  expect(human.map(({ id, target }) => [id, target])).toEqual([['human:base', 'base']]);
  // A handful of votes must not stretch the axes by their intervals.
  expect(valuesOf(humans).map(({ safety }) => [safety.low, safety.high])).toEqual([[0.5, 0.5]]);
  const csv = toCsv([base!], 'wording', humans);
  expect(csv).toContain(',wording,human.safety,0.5,0.1,0.9,4,');
  expect(toCsv([base!], 'wording')).not.toContain('human');
});
