import { describe, expect, it } from 'vitest';
import { float16ToFloat32, float32ToFloat16, roundHalfEven } from '../float16';
import { dequantiseRows, quantiseRows } from './prompt-quant';
import { gaussians, seededRandom } from '../random.testing';

describe('half precision', () => {
  it('gives back every half', () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i).filter(
      (half) => (half & 0x7c00) !== 0x7c00 || (half & 0x3ff) === 0,
    );
    expect(float32ToFloat16(float16ToFloat32(bits))).toEqual(bits);
  });

  it('rounds to the nearest half, ties to even', () => {
    const values = [1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520, 2 ** -25, 3 * 2 ** -25, -0.1];
    const halves = float16ToFloat32(float32ToFloat16(Float32Array.from(values)));
    expect([...halves]).toEqual([1, 1 + 2 ** -9, 65504, Infinity, 0, 2 ** -23, -0.0999755859375]);
    expect(float16ToFloat32(float32ToFloat16(Float32Array.of(NaN)))[0]).toBeNaN();
  });

  it('is never farther than half a step away', () => {
    const values = gaussians(seededRandom(1), 2000, 3);
    const halves = float16ToFloat32(float32ToFloat16(values));
    for (const [i, value] of values.entries()) {
      const step = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(value)))) - 10);
      expect(Math.abs(halves[i]! - value)).toBeLessThanOrEqual(step / 2);
    }
  });
});

it('rounds halves to even', () => {
  expect([0.5, 1.5, 2.5, -0.5, -1.5, 2.4, -2.6].map((value) => roundHalfEven(value) + 0)).toEqual([
    0, 2, 2, 0, -2, 2, -3,
  ]);
});

describe('quantised rows', () => {
  it('are at most half a step off, and exact at the largest value of a row', () => {
    const [n, d] = [16, 128];
    const values = gaussians(seededRandom(2), n * d);
    const rows = quantiseRows(values, n, d);
    const steps = float16ToFloat32(rows.scales);
    const back = dequantiseRows(rows);
    for (let row = 0; row < n; row++) {
      const slice = rows.levels.subarray(row * d, row * d + d);
      expect(Math.max(...slice.map(Math.abs))).toBe(7);
      const largest = Math.max(...values.subarray(row * d, row * d + d).map(Math.abs));
      expect(Math.abs(steps[row]! * 7 - largest)).toBeLessThanOrEqual(largest * 2 ** -11);
      for (let i = row * d; i < row * d + d; i++) {
        expect(Math.abs(back[i]! - values[i]!)).toBeLessThanOrEqual(steps[row]! * 0.504);
      }
    }
  });

  it('do not change when they are quantised again', () => {
    const random = seededRandom(3);
    for (let i = 0; i < 200; i++) {
      const [n, d] = [1 + Math.floor(random() * 9), 1 + Math.floor(random() * 65)];
      const rows = quantiseRows(gaussians(random, n * d, 10 ** (random() * 4 - 2)), n, d);
      expect(quantiseRows(dequantiseRows(rows), n, d)).toEqual(rows);
    }
  });

  it('keep rows of zeros', () => {
    const rows = quantiseRows(new Float32Array(6), 2, 3);
    expect([...rows.scales]).toEqual([0, 0]);
    expect([...dequantiseRows(rows)]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it('refuse values that are not finite, too large, or of another shape', () => {
    expect(() => quantiseRows(Float32Array.of(NaN), 1, 1)).toThrow('NaN');
    expect(() => quantiseRows(Float32Array.of(1e6), 1, 1)).toThrow('too large');
    expect(() => quantiseRows(new Float32Array(5), 2, 3)).toThrow('2 rows of 3');
  });
});
