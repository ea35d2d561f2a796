import { describe, expect, it } from 'vitest';
import { parseAdapter } from '../../distill/adapters/adapter-spec';
import { parseGuardCase } from '../../distill/target/guard-case';
import { parseObjective } from '../../distill/objectives/spec';
import { parseRecipe } from '../../distill/train/recipe';
import {
  adapterName,
  curveKey,
  facetsOfRecipe,
  filterOptions,
  guardCaseName,
  NOTHING_HIDDEN,
  objectiveName,
  strictnessName,
  toggled,
} from './facets';

describe('names', () => {
  it.each([
    ['soft-prompt', 'Soft prompt n 16'],
    [{ kind: 'soft-prompt', n: 8, form: 'rows' }, 'Soft prompt n 8, rows 20'],
    ['lora', 'LoRA rank 2'],
    [{ kind: 'lora', rank: 4, alpha: 4, targets: ['q', 'o'] }, 'LoRA rank 4, α 4, q o'],
    ['steering', 'Steering, all layers'],
    [
      { kind: 'steering', source: 'difference', layers: 'one' },
      'Steering, depth 0.6, difference × 1',
    ],
    ['preamble', 'Written preamble'],
  ])('of the adapter %j', (spec, name) => {
    expect(adapterName(parseAdapter(spec))).toBe(name);
  });

  it.each([
    ['tv', 'TV'],
    [{ name: 'tv', klWarmup: 0.1 }, 'TV, klWarmup 0.1'],
    [{ name: 'tailr', gamma: 0.8 }, 'TaiLr, gamma 0.8'],
    [{ name: 'nll', reading: 'hard' }, 'NLL, hard'],
    [{ name: 'ppo', reward: 'safe', epochs: 2 }, 'PPO, safe, epochs 2'],
  ])('of the objective %j', (spec, name) => {
    expect(objectiveName(parseObjective(spec))).toBe(name);
  });

  it('of guard cases and strictness, stricter being larger', () => {
    expect(guardCaseName(parseGuardCase('prompt'))).toBe('prompt guard');
    expect(guardCaseName(parseGuardCase('response'))).toBe('response guard');
    const mean = parseGuardCase({ kind: 'response', sampling: 'mean', samples: 8 });
    expect(guardCaseName(mean)).toBe('response guard, mean, 8 samples');
    expect([-2, 0, 1.5].map(strictnessName)).toEqual(['strictness 2', '', 'strictness −1.5']);
  });
});

describe('facets', () => {
  const kl = facetsOfRecipe(parseRecipe({ objective: 'kl', adapter: 'lora', strictness: -1 }));

  it('of a recipe leave strictness and seed out of their curve', () => {
    expect(kl.strictness).toBe(-1);
    expect(curveKey(kl)).toBe('lora2-a4-qv_kl_prompt');
    expect(facetsOfRecipe(parseRecipe({ adapter: 'preamble' })).objective).toBeNull();
  });

  it('are offered in the order of the objectives, and hidden one by one', () => {
    const tv = facetsOfRecipe(parseRecipe({}));
    const options = filterOptions([
      { facets: kl },
      { facets: null },
      { facets: tv },
      { facets: kl },
    ]);
    expect(options.objective.map(({ key, count }) => [key, count])).toEqual([
      ['tv', 1],
      ['kl', 2],
    ]);
    const hidden = toggled(NOTHING_HIDDEN, 'objective', 'kl');
    expect([...hidden.objective]).toEqual(['kl']);
    expect(toggled(hidden, 'objective', 'kl')).toEqual(NOTHING_HIDDEN);
  });
});
