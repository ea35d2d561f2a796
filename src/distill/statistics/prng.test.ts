import { describe, expect, it } from 'vitest';
import { hash32, Random } from './prng';

describe('Random', () => {
  it('is a function of its seed parts and of their order', () => {
    const draw = (...parts: (number | string)[]) => {
      const random = new Random(...parts);
      return Array.from({ length: 4 }, () => random.next());
    };
    expect(draw(1, 'a')).toEqual(draw(1, 'a'));
    expect(draw(1, 'a')).not.toEqual(draw(2, 'a'));
    expect(draw('ab', 'c')).not.toEqual(draw('a', 'bc'));
    expect(draw(0)).not.toEqual(draw(0, 0));
  });

  it('is uniform and uncorrelated across neighbouring seeds', () => {
    const cells = new Float64Array(10);
    let product = 0;
    const n = 20000;
    for (let seed = 0; seed < n; seed++) {
      const x = new Random(seed).next();
      cells[Math.floor(x * 10)]!++;
      product += (x - 0.5) * (new Random(seed + 1).next() - 0.5);
    }
    const chi2 = cells.reduce((sum, count) => sum + (count - n / 10) ** 2 / (n / 10), 0);
    expect(chi2).toBeLessThan(27.9); // 99.9 % of χ² with 9 degrees of freedom
    expect(Math.abs(product / n)).toBeLessThan(0.003); // 5 standard errors
  });

  it('permutes: every item once, first places uniform', () => {
    const firsts = new Float64Array(5);
    for (let seed = 0; seed < 5000; seed++) {
      const order = new Random('shuffle', seed).permutation(5);
      expect([...order].sort()).toEqual([0, 1, 2, 3, 4]);
      firsts[order[0]!]!++;
    }
    const chi2 = firsts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
    expect(chi2).toBeLessThan(18.5); // 99.9 % of χ² with 4 degrees of freedom
  });

  it('hashes whole numbers above 32 bits apart', () => {
    expect(hash32(1)).not.toBe(hash32(1 + 4294967296));
  });
});
