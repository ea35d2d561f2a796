import { describe, expect, it } from 'vitest';
import { normals } from '../../kernels/gpu/testing';
import { keepValues, MAX_KEPT_VALUES, readKeptValues } from './kept-values';
import { parseRecipe } from '../train/recipe';
import { SpecError } from '../data/spec-fields';

const recipe = parseRecipe({ adapter: 'lora', objective: 'kl' });
const read = (kept: unknown, beside: unknown = recipe) => readKeptValues(kept, beside, 'trained');

describe('kept values', () => {
  it('come back as the nearest halves, with their model and recipe', () => {
    const values = normals(1, MAX_KEPT_VALUES, 0.05);
    const kept = keepValues('0123456789abcdef', values)!;
    expect(kept.values.length).toBeLessThan(2.7 * MAX_KEPT_VALUES);
    const trained = read(JSON.parse(JSON.stringify(kept)));
    expect(trained.modelId).toBe('0123456789abcdef');
    expect(trained.recipe).toEqual(recipe);
    expect(trained.values).toHaveLength(values.length);
    trained.values.forEach((value, i) => {
      expect(Math.abs(value - values[i]!)).toBeLessThanOrEqual(
        2 ** -11 * Math.abs(values[i]!) + 3e-8,
      );
    });
    // What came back is kept as it is.
    expect(keepValues(kept.modelId, trained.values)).toEqual(kept);
  });

  it('are not made of nothing, of too many, or of what no half holds', () => {
    expect(keepValues('m', new Float32Array())).toBeNull();
    expect(keepValues('m', new Float32Array(MAX_KEPT_VALUES + 1))).toBeNull();
    expect(keepValues('m', Float32Array.of(1, 1e6))).toBeNull();
    expect(keepValues('m', Float32Array.of(NaN))).toBeNull();
  });

  const kept = keepValues('m', Float32Array.of(1, -2))!;
  const infinite = 'AHw';
  it.each([
    ['trained', null, recipe],
    ['trained.modelId', { ...kept, modelId: 3 }, recipe],
    ['trained.values', { ...kept, values: 7 }, recipe],
    ['trained.values', { ...kept, values: '' }, recipe],
    ['trained.values', { ...kept, values: 'A+/=' }, recipe],
    ['trained.values', { ...kept, values: 'AAAA' }, recipe],
    ['trained.values', { ...kept, values: infinite }, recipe],
    ['trained.values', { ...kept, values: 'A'.repeat(4 * MAX_KEPT_VALUES) }, recipe],
    ['trained', kept, { ...recipe, steps: 'many' }],
    ['trained', kept, undefined],
  ])('that are wrong are refused by name: %s', (path, value, beside) => {
    let error: unknown;
    try {
      readKeptValues(value, beside, 'trained');
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(SpecError);
    expect((error as SpecError).path).toBe(path);
  });
});
