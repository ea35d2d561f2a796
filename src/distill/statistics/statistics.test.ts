import { describe, expect, it } from 'vitest';
import {
  bootstrapMean,
  clusterBootstrap,
  mcnemarExact,
  mean,
  pairedDifference,
  proportion,
  quantile,
  wilson,
} from './statistics';

describe('wilson', () => {
  it.each([
    // Worked examples of the score interval in the statistics literature.
    [81, 263, 0.2552, 0.3662],
    [15, 148, 0.0624, 0.1605],
    [1, 29, 0.0061, 0.1718],
    [100, 200, 0.4314, 0.5686],
  ])('of %d in %d', (k, n, low, high) => {
    const interval = wilson(k, n);
    expect(interval.low).toBeCloseTo(low, 3);
    expect(interval.high).toBeCloseTo(high, 3);
  });

  it('of none and of all ends exactly at 0 and at 1', () => {
    expect(wilson(0, 20).low).toBe(0);
    expect(wilson(0, 20).high).toBeCloseTo(0.1611, 4);
    expect(wilson(20, 20).high).toBe(1);
    expect(wilson(0, 0)).toEqual({ low: 0, high: 1 });
  });
});

describe('bootstrap', () => {
  const values = Array.from({ length: 400 }, (_, i) => Math.sin(i * 12.9898) * 3 + 1);
  const average = values.reduce((a, b) => a + b, 0) / values.length;
  const deviation = Math.sqrt(
    values.reduce((a, b) => a + (b - average) ** 2, 0) / (values.length - 1),
  );

  it('of the mean agrees with the normal interval on many values', () => {
    const { low, high } = bootstrapMean(values);
    const half = (1.96 * deviation) / 20;
    expect(Math.abs(low - (average - half))).toBeLessThan(half * 0.1);
    expect(Math.abs(high - (average + half))).toBeLessThan(half * 0.1);
  });

  it('is a function of its seed', () => {
    expect(bootstrapMean(values, 7)).toEqual(bootstrapMean(values, 7));
    expect(bootstrapMean(values, 7)).not.toEqual(bootstrapMean(values, 8));
  });

  it('over clusters of copies is as wide as over the distinct values', () => {
    const copies = values.slice(0, 40).flatMap((v) => Array<number>(10).fill(v));
    const names = copies.map((_, i) => `intent ${Math.floor(i / 10)}`);
    const clusters = clusterBootstrap(copies, names);
    const distinct = bootstrapMean(values.slice(0, 40));
    const naive = bootstrapMean(copies);
    expect(clusters.clusters).toBe(40);
    const ratio = (clusters.high - clusters.low) / (distinct.high - distinct.low);
    expect(Math.abs(ratio - 1)).toBeLessThan(0.1);
    expect((clusters.high - clusters.low) / (naive.high - naive.low)).toBeGreaterThan(2.5);
  });

  it('of paired differences ignores what the pairs share', () => {
    const a = values.map((v) => v * 100);
    const b = a.map((v, i) => v - 1 - 0.1 * Math.cos(i));
    const difference = pairedDifference(a, b);
    expect(difference.value).toBeCloseTo(1, 1);
    expect(difference.high - difference.low).toBeLessThan(0.05);
  });
});

describe('measures', () => {
  it('proportion carries value, n and both intervals', () => {
    const outcomes = [true, true, false, true];
    const measure = proportion(outcomes, ['a', 'a', 'b', 'b']);
    expect(measure).toMatchObject({ value: 0.75, n: 4, ...wilson(3, 4) });
    expect(measure.cluster).toEqual({ low: 0.5, high: 1, clusters: 2 });
  });

  it('mean of equal values is a point', () => {
    expect(mean([2, 2, 2])).toEqual({ value: 2, low: 2, high: 2, n: 3 });
  });

  it('quantile interpolates', () => {
    expect(quantile([0, 1, 2, 3], 0.5)).toBe(1.5);
    expect(quantile([5], 0.99)).toBe(5);
    expect(quantile([], 0.5)).toBeNaN();
  });
});

describe('mcnemarExact', () => {
  it.each([
    [0, 0, 1],
    [5, 5, 1],
    [0, 5, 0.0625],
    [1, 9, 22 / 1024],
    [10, 2, 158 / 4096],
  ])('of %d against %d', (b, c, p) => {
    expect(mcnemarExact(b, c)).toBeCloseTo(p, 12);
  });

  it('is finite for many pairs', () => {
    expect(mcnemarExact(600, 700)).toBeGreaterThan(0.004);
    expect(mcnemarExact(600, 700)).toBeLessThan(0.008);
  });
});
