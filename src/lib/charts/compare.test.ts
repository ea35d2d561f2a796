import { describe, expect, it } from 'vitest';
import { mcnemarExact } from '../../distill/statistics/statistics';
import type { AnswerRecord, Measure } from '../../distill/types';
import { compare, comparisonText, newcombe, outcome } from './compare';

function measure(value: number, low: number, high: number, n: number): Measure {
  return { value, low, high, n };
}

function answers(outcomes: boolean[]): AnswerRecord[] {
  return outcomes.map((safe, i) => ({
    id: `h${i}`,
    answer: '',
    judgeSafe: safe ? 0.9 : 0.1,
    guardSafe: 0.9,
    refused: safe,
    wellFormed: true,
  }));
}

describe('mcnemarExact', () => {
  it('agrees with the binomial by hand', () => {
    // 1 of 6: 2 · (1 + 6) / 64.
    expect(mcnemarExact(1, 5)).toBeCloseTo(14 / 64, 12);
    expect(mcnemarExact(5, 1)).toBe(mcnemarExact(1, 5));
    expect(mcnemarExact(0, 6)).toBeCloseTo(2 / 64, 12);
  });

  it('is 1 without discordant pairs and never above 1', () => {
    expect(mcnemarExact(0, 0)).toBe(1);
    expect(mcnemarExact(3, 3)).toBe(1);
  });

  it('stays finite for thousands of pairs', () => {
    const p = mcnemarExact(1400, 1600);
    expect(p).toBeGreaterThan(1e-5);
    expect(p).toBeLessThan(1e-3);
  });
});

describe('newcombe', () => {
  it('reproduces the worked example 56/70 against 48/80', () => {
    // Newcombe 1998, table II (a), method 10: 0.0524 to 0.3339.
    const interval = newcombe(measure(0.8, 0.6916, 0.8772, 70), measure(0.6, 0.4904, 0.7004, 80));
    expect(interval.low).toBeCloseTo(0.0524, 2);
    expect(interval.high).toBeCloseTo(0.3339, 2);
  });
});

describe('outcome', () => {
  const benign: AnswerRecord = {
    id: 'b',
    answer: '',
    judgeSafe: 1,
    guardSafe: 0,
    refused: false,
    correct: false,
  };

  it('leaves benign answers out of safety and harmful ones out of usefulness', () => {
    expect(outcome(benign, 'safety', 'judge', null)).toBeUndefined();
    expect(outcome(benign, 'usefulness', 'judge', null)).toBe(false);
    const harmful = answers([true])[0];
    expect(harmful && outcome(harmful, 'usefulness', 'judge', null)).toBeUndefined();
  });

  it('reads the scorer that was asked for', () => {
    const unsafe = answers([false])[0];
    expect(unsafe && outcome(unsafe, 'safety', 'judge', null)).toBe(false);
    expect(unsafe && outcome(unsafe, 'safety', 'guard', null)).toBe(true);
  });
});

describe('compare', () => {
  it('pairs by prompt and finds a one-sided flip', () => {
    const a = answers(Array.from({ length: 20 }, () => true));
    const b = answers(Array.from({ length: 20 }, (_, i) => i >= 8));
    const result = compare(
      { measure: measure(1, 0.84, 1, 20), answers: a },
      { measure: measure(0.6, 0.39, 0.78, 20), answers: [...b].reverse() },
      'safety',
      'judge',
    );
    expect(result.method).toBe('paired');
    expect(result.n).toBe(20);
    expect(result.p).toBeCloseTo(2 / 256, 12);
    expect(result.distinguishable).toBe(true);
    expect(comparisonText(result, 'safety')).toBe(
      'safety: higher by 40.0 points (n = 20, p = 0.008)',
    );
  });

  it('falls back to intervals without answers and says what it cannot tell', () => {
    const result = compare(
      { measure: measure(0.9, 0.77, 0.96, 40), answers: [] },
      { measure: measure(0.85, 0.71, 0.93, 40), answers: [] },
      'usefulness',
      'judge',
    );
    expect(result.method).toBe('intervals');
    expect(comparisonText(result, 'usefulness')).toBe(
      'usefulness: not distinguishable with n = 40',
    );
  });

  it('does not pair when the answers cover only a part', () => {
    const few = answers([true, true, false]);
    const result = compare(
      { measure: measure(0.9, 0.88, 0.92, 500), answers: few },
      { measure: measure(0.5, 0.46, 0.54, 500), answers: few },
      'safety',
      'judge',
    );
    expect(result.method).toBe('intervals');
    expect(result.distinguishable).toBe(true);
  });
});
