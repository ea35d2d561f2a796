import { describe, expect, it } from 'vitest';
import { ADAPTER_KINDS, parseAdapter } from '../../../distill/adapters/adapter-spec';
import { parseGuardCase } from '../../../distill/target/guard-case';
import { OBJECTIVE_NAMES, parseObjective } from '../../../distill/objectives/spec';
import { parseRecipe } from '../../../distill/train/recipe';
import { fieldProblem, recipeProblems } from './recipe';
import {
  adapterNumbers,
  adapterWith,
  guardCaseWith,
  guardNumbers,
  OBJECTIVE_GROUPS,
  objectiveNumbers,
  objectiveWith,
  specWords,
  withNumber,
} from './recipe-choices';

const keys = (numbers: { key: string }[]) => numbers.map(({ key }) => key);

describe('what the form shows', () => {
  it('has a control for every number that counts, and defaults without problems', () => {
    const specs = [
      ...ADAPTER_KINDS.map((kind) => adapterNumbers(parseAdapter(kind))),
      ...OBJECTIVE_NAMES.map((name) => objectiveNumbers(parseObjective(name))),
      guardNumbers(parseGuardCase('response')),
    ];
    for (const { value, control } of specs.flat()) expect(fieldProblem(control, value)).toBeNull();
    expect(keys(objectiveNumbers(parseObjective('ppo')))).toHaveLength(7);
    expect(keys(guardNumbers(parseGuardCase('response')))).toEqual(['samples', 'denseBelow']);
  });

  it('offers every objective once', () => {
    const offered = OBJECTIVE_GROUPS.flatMap(({ choices }) => choices.map(({ value }) => value));
    expect([...offered].sort()).toEqual([...OBJECTIVE_NAMES].sort());
  });

  it('leaves out numbers that mean nothing in the present form', () => {
    const full = parseAdapter('soft-prompt');
    expect(keys(adapterNumbers(full))).toEqual(['n']);
    const rows = adapterWith(full, 'form', 'rows');
    expect(keys(adapterNumbers(rows))).toEqual(['n', 'size']);
    expect(adapterWith(rows, 'form', 'full')).toEqual(full);
    const steering = parseAdapter('steering');
    expect(adapterNumbers(steering)).toEqual([]);
    const one = adapterWith(adapterWith(steering, 'layers', 'one'), 'source', 'difference');
    expect(keys(adapterNumbers(one))).toEqual(['depth', 'scale']);
    const refusal = adapterWith(one, 'source', 'refusal');
    expect(keys(adapterNumbers(refusal))).toEqual(['scale']);
    expect(specWords(refusal).map(({ key }) => key)).toEqual(['source']);
    expect(adapterWith(one, 'source', 'trained')).toMatchObject({ layers: 'one', scale: 1 });
  });

  it('changes words and numbers, and lets a form say what is wrong with them', () => {
    const nll = objectiveWith(parseObjective('nll'), 'reading', 'hard');
    expect(specWords(nll)).toMatchObject([{ key: 'reading', value: 'hard' }]);
    const guardCase = guardCaseWith(parseGuardCase('response'), 'sampling', 'mean');
    expect(guardCase).toMatchObject({ sampling: 'mean', samples: 4 });
    const recipe = parseRecipe({ adapter: 'lora' });
    const wrong = { ...recipe, adapter: withNumber(recipe.adapter, 'rank', 0) };
    expect(recipeProblems(wrong)).toEqual(['Rank must lie between 1 and 64.']);
    const clash = { ...recipe, objective: parseObjective('ppo') };
    expect(recipeProblems(clash)).toEqual(['ppo needs a guard that reads the answer.']);
    expect(recipeProblems({ ...clash, adapter: parseAdapter('preamble') })).toEqual([]);
  });
});
