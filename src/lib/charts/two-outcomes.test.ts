import { describe, expect, it } from 'vitest';
import { positionLoss } from '../../distill/objectives/position';
import { chance, logit, twoOutcomes } from './two-outcomes';

describe('two outcomes', () => {
  it.each([
    [0.99, 0.1],
    [0.3, 0.05],
    [0.2, 0.2],
    [0.9, 1e-6],
  ])('p %f and q %f are as far apart, and push as hard, as in the method’s own loss', (p, q) => {
    for (const name of ['tv', 'kl'] as const) {
      const { value, gradient } = positionLoss({ family: 'divergence', name }, [logit(q), 0], {
        kind: 'mixture',
        teacherLogits: [logit(p), 0],
        w: 0,
        rho: { token: [], prob: [] },
      });
      const two = twoOutcomes(name, p, q);
      expect(two.value).toBeCloseTo(value, 9);
      // Where they are equal, rounding decides on which side they are.
      if (p !== q) {
        expect(two.push).toBeCloseTo(Math.abs(gradient[0]!) + Math.abs(gradient[1]!), 9);
      }
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
