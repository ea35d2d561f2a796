import { describe, expect, it } from 'vitest';
import { parseRecipe } from '../distill/train/recipe';
import { UsageError } from './args';
import { bundledModels } from './session';

const models = (fields: object) => bundledModels(parseRecipe(fields));

describe('the models of a recipe', () => {
  it('are the folders that it names, its guard with the labels that it calls safe', () => {
    expect(models({})).toEqual({ student: 'pocket', guard: 'guard', safe: undefined });
    expect(models({ student: 'class', guard: 'judge' })).toMatchObject({ guard: 'judge' });
    expect(models({ guard: 'own?safe=OK&safe=Fine' })).toMatchObject({
      guard: 'own',
      safe: ['OK', 'Fine'],
    });
    expect(models({ guard: 'own?safe=' }).safe).toEqual([]);
  });

  it.each([
    [{ guard: 'hub:org/name@main/q4' }, /guard hub:org.*nothing is downloaded/],
    [{ guard: 'folder:mine' }, /guard folder:mine/],
    [{ student: 'hub:org/name@main/q4' }, /student hub:org/],
    [{ guard: 'own?says=safe&not=unsafe' }, /writes its verdict/],
  ])('that are not here are refused: %j', (fields, message) => {
    expect(() => models(fields)).toThrow(UsageError);
    expect(() => models(fields)).toThrow(message);
  });
});
