import { describe, expect, it } from 'vitest';
import { project, projectBackward, promptProjection, signWord } from './sign-projection';

/** FNV-1a of the bytes of float32 values: equal only if every bit is. */
function digest(values: Float32Array): number {
  let h = 0x811c9dc5;
  for (const byte of new Uint8Array(values.buffer)) h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
}

const start = (count: number) =>
  Float32Array.from({ length: count }, (_, i) => (((i * 37) % 101) - 50) / 64);
const trained = (count: number) =>
  Float32Array.from({ length: count }, (_, i) => (((i * 53) % 89) - 44) / 32);
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);

// The fixed values here were computed by an independent implementation in Python.
describe('signWord', () => {
  it('is the same 32 bits everywhere', () => {
    const cases = [
      [0, 0, 0, 0x642f30e0],
      [0, 0, 1, 0xfb49e243],
      [0, 1, 0, 0xf81e1f7d],
      [7, 3, 5, 0xc7481c4a],
      [0xffffffff, 511, 6399, 0x9d5ebefb],
    ] as const;
    for (const [seed, line, block, word] of cases) expect(signWord(seed, line, block)).toBe(word);
  });

  it('has as many of each sign, uncorrelated from line to line and seed to seed', () => {
    const signs = (seed: number, line: number) =>
      Array.from(
        { length: 4096 },
        (_, c) => 1 - 2 * ((signWord(seed, line, c >> 5) >>> (c & 31)) & 1),
      );
    const lines = [signs(1, 0), signs(1, 1), signs(1, 2), signs(2, 0), signs(2, 1)];
    // Five standard errors of a mean of 4096 signs.
    for (const [i, a] of lines.entries()) {
      expect(Math.abs(a.reduce((x, y) => x + y, 0))).toBeLessThan(5 * 64);
      for (const b of lines.slice(i + 1)) expect(Math.abs(dot(a, b))).toBeLessThan(5 * 64);
    }
  });
});

describe('project', () => {
  it.each([
    ['rows', promptProjection('rows', { n: 3, dim: 70, size: 5, seed: 7 }), 0x15514984],
    ['global', promptProjection('global', { n: 3, dim: 70, size: 48, seed: 7 }), 0x685c9f23],
  ] as const)('gives the same bits everywhere, %s', (_, projection, expected) => {
    const { rows, inner, columns } = projection;
    const prompt = project(projection, start(rows * columns), trained(rows * inner));
    expect(prompt).toHaveLength(210);
    expect(digest(prompt)).toBe(expected);
  });

  it('is the start where nothing is trained', () => {
    const projection = promptProjection('rows', { n: 2, dim: 33, size: 4, seed: 1 });
    expect([...project(projection, start(66), new Float32Array(8))]).toEqual([...start(66)]);
  });

  it('moves P by about as much as A in the mean square', () => {
    const projection = promptProjection('global', { n: 4, dim: 64, size: 128, seed: 3 });
    const values = new Float32Array(128).fill(1);
    const moved = project(projection, new Float32Array(256), values);
    expect(dot(moved, moved) / 256).toBeGreaterThan(0.7);
    expect(dot(moved, moved) / 256).toBeLessThan(1.4);
  });

  it('refuses sizes and lengths that do not fit', () => {
    const projection = promptProjection('rows', { n: 2, dim: 8, size: 3, seed: 0 });
    expect(() => project(projection, start(15), trained(6))).toThrow(RangeError);
    expect(() => project(projection, start(16), trained(5))).toThrow(RangeError);
    expect(() => projectBackward(projection, start(15))).toThrow(RangeError);
    expect(() => promptProjection('rows', { n: 0, dim: 8, size: 3, seed: 0 })).toThrow(RangeError);
    expect(() => promptProjection('rows', { n: 1, dim: 8, size: 1.5, seed: 0 })).toThrow(
      RangeError,
    );
    const huge = { n: 128, dim: 8192, size: 8192, seed: 0 };
    expect(() => promptProjection('global', huge)).toThrow(RangeError);
  });
});

describe.each(['rows', 'global'] as const)('projectBackward, %s', (form) => {
  const projection = promptProjection(form, { n: 3, dim: 70, size: 9, seed: 11 });
  const { rows, inner, columns } = projection;
  /** A loss that is not linear in P, and its gradient in P. */
  const loss = (p: ArrayLike<number>) =>
    Array.from(p).reduce((sum, value, i) => sum + Math.sin(value + i), 0);
  const slope = (p: ArrayLike<number>) => Array.from(p, (value, i) => Math.cos(value + i));

  it('is the finite difference of a loss in A', () => {
    const values = trained(rows * inner);
    const at = (v: ArrayLike<number>) => project(projection, start(rows * columns), v);
    const gradient = projectBackward(projection, slope(at(values)));
    for (let i = 0; i < values.length; i++) {
      // P is rounded to float32, so the step is wide and the check loose.
      const step = 2 ** -8;
      const moved = (by: number) => loss(at(values.map((v, k) => (k === i ? v + by : v))));
      const difference = (moved(step) - moved(-step)) / (2 * step);
      expect(Math.abs(difference - gradient[i]!)).toBeLessThan(2e-3);
    }
  });

  it('is the transpose of project', () => {
    const values = trained(rows * inner);
    const direction = slope(start(rows * columns));
    const forward = project(projection, new Float32Array(rows * columns), values);
    const backward = projectBackward(projection, direction);
    const left = dot(forward, direction);
    expect(Math.abs(left - dot(values, backward))).toBeLessThan(1e-4 * (1 + Math.abs(left)));
  });
});
