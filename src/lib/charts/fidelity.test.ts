import { describe, expect, it } from 'vitest';
import { measureBound, type ScoredPath } from '../../distill/evaluation/bound';
import { calibration } from '../../distill/evaluation/calibration';
import { boundMarks, boundSummary, calibrationText, estimateText, tightnessText } from './fidelity';
import type { BoundMeasurement } from '../../distill/types';

const path = (length: number, a: number, tv: number): ScoredPath => ({
  logP: new Array<number>(length).fill(-1),
  logQ: new Array<number>(length).fill(-1 + a),
  tokenTv: new Array<number>(length).fill(tv),
});
const bound = measureBound([{ safe: 1, pass: [path(8, -0.1, 0.2)], refusal: [] }]);
const measured: BoundMeasurement = {
  ...{ guardCase: 'prompt', prompts: 1, samples: 1, level: 0.95, studentSum: null, bound },
  sequenceTv: bound.horizons.at(-1)!.sequenceTv,
  event: { tv: 0.1, gap: -0.1, teacher: 0.5, student: 0.4 },
};

describe('the bound', () => {
  it('is marked by horizon, clipped where the axis ends', () => {
    expect(boundMarks(measured, 'tokenSum').map(({ horizon }) => horizon)).toEqual([1, 5, 8]);
    expect(boundMarks(measured, 'tokenSum').map(({ clipped }) => clipped)).toEqual([
      ...[false, false, true],
    ]);
    expect(boundMarks({ ...measured, bound: null }, 'coupling')).toEqual([]);
  });

  it('is said in words', () => {
    expect(estimateText({ value: 0.314, low: 0.1, high: 0.5 })).toBe('0.31 [0.10, 0.50]');
    expect(boundSummary(measured)).toContain('known refusal less often by 10 %');
    expect(boundSummary(measured)).toMatch(/differs by more than 100 %, with 95 % confidence\.$/);
    const equal = { ...measured, event: { ...measured.event, gap: 0.001 } };
    expect(boundSummary(equal)).toContain('as often');
    expect(tightnessText(measured)).toBe('Σ, which training lowers, is 2.9 times TV');
    expect(tightnessText({ ...measured, bound: null })).toBeNull();
    const tight = measureBound([{ safe: 1, pass: [path(1, -0.1, 0.095)], refusal: [] }]);
    expect(tightnessText({ ...measured, bound: tight })).toContain('as small as TV');
  });
});

describe('calibration in words', () => {
  it('says which way it errs, and whether chance explains it', () => {
    const points = Array.from({ length: 100 }, (_, i) => ({ expected: 0.5, refused: i < 80 }));
    expect(calibrationText(calibration(points))).toMatch(
      /^refuses 30\.0 points more than its teacher; calibration error 30 %, more than the /,
    );
    const exact = calibration(points.map((point, i) => ({ ...point, refused: i < 50 })));
    expect(calibrationText(exact)).toMatch(/^refuses as often .* 0 %, within the/);
    expect(calibrationText(calibration([]))).toBe('not measured');
  });
});
