import { describe, expect, it } from 'vitest';
import { chance, logit, twoOutcomes } from './two-outcomes';

describe('two outcomes', () => {
  it('are as far apart as sums over them say', () => {
    for (const [p, q] of [
      [0.99, 0.1],
      [0.3, 0.05],
      [0.2, 0.2],
    ] as const) {
      const kl = p * Math.log(p / q) + (1 - p) * Math.log((1 - p) / (1 - q));
      expect(twoOutcomes('tv', p, q).value).toBeCloseTo(Math.abs(p - q), 9);
      expect(twoOutcomes('kl', p, q).value).toBeCloseTo(kl, 9);
    }
  });

  // METHOD.md §4.3.
  it.each([
    [0.99, 1e-6, 2e-6, 1.98],
    [0.99, 1e-3, 2e-3, 1.98],
    [0.99, 0.1, 0.18, 1.78],
    [0.99, 0.5, 0.5, 0.98],
    [0.99, 0.9, 0.18, 0.18],
    [0.3, 0.05, 0.095, 0.5],
  ])('p %f and q %f push by %f with TV and %f with KL', (p, q, tv, kl) => {
    expect(twoOutcomes('tv', p, q).push / tv).toBeCloseTo(1, 1);
    expect(twoOutcomes('kl', p, q).push).toBeCloseTo(kl, 2);
    expect(twoOutcomes('kl', p, q).push).toBeCloseTo(2 * Math.abs(p - q), 9);
    expect(twoOutcomes('tv', p, q).push).toBeCloseTo(2 * q * (1 - q), 9);
  });

  it('are written with two digits', () => {
    expect([0.5, 0.123, 1e-6, 0.9994].map(chance)).toEqual(['50 %', '12 %', '0.0001 %', '99.94 %']);
    expect(logit(0.5)).toBe(0);
  });
});
