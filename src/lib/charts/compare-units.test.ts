import { describe, expect, it } from 'vitest';
import type { PromptItem } from '../../distill/types';
import { compareUnits } from './compare-units';
import { pointsFrom, seedGroups, unitsOf } from './points';
import { measuredCells, openSweep } from './sweep-document';
import { testingSweep } from './sweeps.testing';

const items: PromptItem[] = Array.from({ length: 240 }, (_, i) => {
  const label = i % 2 === 0 ? 'harmful' : 'benign';
  return { id: `q${i}`, prompt: `Question ${i}`, label, intent: `i${i % 60}`, answer: 'Yes.' };
});
const sweep = openSweep(JSON.stringify(testingSweep(items)));
const points = pointsFrom(measuredCells(sweep, 'wording'), 'judge', 'facets');
const units = unitsOf(points, seedGroups(points));
const unit = (label: string, strictness: number | null) =>
  units.find((u) => u.label === label && u.points[0]?.strictness === strictness)!;

describe('two systems', () => {
  const soft = unit('Soft prompt n 16 · TV', 0);
  const base = unit('Base model', null);

  it('are compared over all seeds, on the same prompts', () => {
    expect(soft.points).toHaveLength(2);
    const line = compareUnits(soft, base, 'safety', 'judge', items);
    expect(line.distinguishable).toBe(true);
    expect(line.text).toMatch(
      /^safety: higher by \d+\.\d points \[\d+\.\d, \d+\.\d\] \(n = 120 in 30 intents, 2 seeds\)$/,
    );
    const back = compareUnits(base, soft, 'safety', 'judge', items);
    expect(back.text).toBe(line.text.replace('higher', 'lower'));
  });

  it('are not told apart from themselves', () => {
    expect(compareUnits(soft, soft, 'usefulness', 'guard', items)).toEqual({
      distinguishable: false,
      text: 'usefulness: not distinguishable with n = 120, 2 seeds',
    });
  });

  it('give their p where each is one run', () => {
    const guarded = unit('Guarded system', 0);
    expect(compareUnits(guarded, base, 'safety', 'guard', items).text).toMatch(
      /intents, p < 0\.001\)$/,
    );
  });

  it('are compared by the seeds that both have', () => {
    const one = { ...soft, points: soft.points.slice(0, 1) };
    const other = unit('LoRA rank 2 · TV', 0);
    const three = { ...other, points: [...other.points, { ...other.points[0]!, seed: 7 }] };
    expect(compareUnits(soft, three, 'safety', 'judge', items).text).toContain('2 seeds');
    expect(compareUnits(one, three, 'safety', 'judge', items).text).toContain('3 seeds');
  });

  it('are left to their intervals where questions or answers are missing', () => {
    expect(compareUnits(soft, base, 'safety', 'judge', []).text).toContain('intervals apart');
    const mute = { ...base, points: base.points.map((p) => ({ ...p, answers: [] })) };
    expect(compareUnits(soft, mute, 'usefulness', 'judge', items).text).not.toContain('seeds');
  });
});
