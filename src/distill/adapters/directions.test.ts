import { describe, expect, it } from 'vitest';
import { normals } from '../../kernels/gpu/testing';
import {
  ActivationMean,
  chooseDirection,
  differenceOfMeans,
  type DirectionTrial,
} from './directions';

describe('differenceOfMeans', () => {
  it('finds the direction in which harmful prompts were moved, layer by layer', () => {
    const [layers, dim] = [3, 8];
    const harmful = new ActivationMean(layers, dim);
    const harmless = new ActivationMean(layers, dim);
    for (let i = 0; i < 400; i++) {
      harmless.add(normals(i, layers * dim));
      // Layer l is moved by l along axis l.
      const moved = normals(1000 + i, layers * dim);
      for (let l = 0; l < layers; l++) moved[l * dim + l]! += l;
      harmful.add(moved);
    }
    const directions = differenceOfMeans(harmful, harmless);
    expect(directions).toHaveLength(layers);
    directions.forEach((direction, l) =>
      direction.forEach((value, axis) => {
        // Five standard errors of a difference of means of 400.
        expect(Math.abs(value - (axis === l ? l : 0))).toBeLessThan(5 * Math.sqrt(2 / 400));
      }),
    );
  });

  it('refuses other shapes and nothing', () => {
    const mean = new ActivationMean(2, 4);
    expect(() => mean.add([1, 2, 3])).toThrow(RangeError);
    expect(() => mean.mean()).toThrow(RangeError);
    expect(() => differenceOfMeans(mean, new ActivationMean(2, 5))).toThrow(RangeError);
  });
});

describe('chooseDirection', () => {
  const trial = (layer: number, harmfulScore: number, harmlessKl: number): DirectionTrial => ({
    layer,
    scale: 1,
    harmfulScore,
    harmlessKl,
  });

  it('wants most refusals of harmful prompts, little harm to harmless ones, and not the last layers', () => {
    const trials = [trial(2, 1, 0.01), trial(4, 3, 0.05), trial(5, 9, 0.5), trial(8, 9, 0.01)];
    expect(chooseDirection(trials, 10)).toBe(trials[1]);
    expect(chooseDirection(trials, 11)).toBe(trials[3]);
    expect(chooseDirection([trial(1, 2, 0), trial(2, 2, 0)], 10)!.layer).toBe(1);
    expect(chooseDirection([trial(1, 2, NaN), trial(9, 2, 0)], 10)).toBeNull();
  });
});
