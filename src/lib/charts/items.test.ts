import { expect, it } from 'vitest';
import type { Measure, PromptItem } from '../../distill/types';
import { toCsv } from './export';
import { itemsOf, namingOf, valuesOf, type ChartItem } from './items';
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

it('names a front of thousands from end to end, and counts the rest', () => {
  const at = (value: number): Measure => ({ value, low: value, high: value, n: 9 });
  const item = (i: number, kind: ChartItem['kind'] = 'adapter'): ChartItem => ({
    ...{
      id: `${kind}${i}`,
      target: `${kind}${i}`,
      label: `System ${i}`,
      detail: '',
      kind,
      series: 0,
    },
    ...{ usefulness: at(i / 2000), safety: at(1 - i / 2000), size: 'mark', faded: false },
  });
  const items = [item(0, 'base'), ...Array.from({ length: 2000 }, (_, i) => item(i))];
  const { ids, unnamed } = namingOf(items, new Set(), 'adapter777', false);
  expect(ids.size).toBe(24);
  for (const id of ['base0', 'adapter777', 'adapter0', 'adapter1999']) expect(ids).toContain(id);
  expect(unnamed).toBe(2000 - 23);
  expect(namingOf(items.slice(0, 9), new Set(), null, false)).toMatchObject({ unnamed: 0 });
  expect(namingOf(items.slice(0, 20), new Set(), null, false)).toMatchObject({ unnamed: 0 });
  // A narrow chart names no front, and leaves none out that it would have named.
  expect(namingOf(items, new Set(), null, true)).toMatchObject({ unnamed: 0 });
});
