import { describe, expect, it } from 'vitest';
import { smooth } from './curves';

describe('smooth', () => {
  it('starts at the first value and keeps a constant', () => {
    expect(smooth([4, 4, 4])).toEqual([4, 4, 4]);
    expect(smooth([7, 0])[0]).toBe(7);
  });

  it('lies between the extremes and follows with delay', () => {
    const out = smooth([1, 1, 1, 0, 0, 0]);
    expect(out[3]).toBeGreaterThan(0.5);
    expect(out[5]).toBeLessThan(out[4] ?? 0);
    expect(Math.min(...out)).toBeGreaterThan(0);
  });

  it('has nothing to say about nothing', () => {
    expect(smooth([])).toEqual([]);
  });
});
