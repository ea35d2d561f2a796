import { describe, expect, it } from 'vitest';
import { guardCaseKey, incompatible, parseGuardCase } from '../target/guard-case';
import { SpecError } from '../data/spec-fields';
import { OBJECTIVE_NAMES, objectiveKey, parseObjective } from './spec';

describe('parseObjective', () => {
  it.each(OBJECTIVE_NAMES)('reads %s from its name and again from what it wrote', (name) => {
    const spec = parseObjective(name);
    expect(spec.name).toBe(name);
    expect(parseObjective(JSON.parse(JSON.stringify(spec)))).toEqual(spec);
    expect(objectiveKey(spec)).toBe(name);
  });

  it('puts into the key what is not the default', () => {
    expect(objectiveKey(parseObjective({ name: 'tailr', gamma: 0.8, minWeight: 0.2 }))).toBe(
      'tailr-gamma0.8-minWeight0.2',
    );
    expect(objectiveKey(parseObjective({ name: 'reinforce', beta: 0.05 }))).toBe('reinforce');
    expect(objectiveKey(parseObjective({ name: 'nll', reading: 'hard' }))).toBe('nll-readinghard');
  });

  it.each([
    [7, 'objective'],
    [{}, 'objective.name'],
    ['tvv', 'objective.name'],
    [{ name: 'tv', gamma: 0.5 }, 'objective.gamma'],
    [{ name: 'tailr', gamma: 1.5 }, 'objective.gamma'],
    [{ name: 'tailr', gamma: '0.5' }, 'objective.gamma'],
    [{ name: 'ppo', epochs: 2.5 }, 'objective.epochs'],
    [{ name: 'reinforce', samples: 1 }, 'objective.samples'],
    [{ name: 'nll', reading: 'soft' }, 'objective.reading'],
    [[], 'objective'],
    [null, 'objective'],
  ])('refuses %j and names %s', (value, path) => {
    const attempt = () => parseObjective(value);
    expect(attempt).toThrow(SpecError);
    expect(attempt).toThrow(expect.objectContaining({ path }));
  });
});

describe('parseGuardCase', () => {
  it('samples exactly by default', () => {
    expect(parseGuardCase('response')).toEqual({
      kind: 'response',
      sampling: 'exact',
      samples: 4,
      denseBelow: 0,
    });
    expect(guardCaseKey(parseGuardCase({ kind: 'response', samples: 8 }))).toBe('response-exact8');
    expect(guardCaseKey(parseGuardCase('prompt'))).toBe('prompt');
    expect(guardCaseKey(parseGuardCase({ kind: 'response', denseBelow: 0.02 }))).toBe(
      'response-exact4-dense0.02',
    );
  });

  it('refuses fields of the other case', () => {
    expect(() => parseGuardCase({ kind: 'prompt', samples: 4 })).toThrow(SpecError);
    expect(() => parseGuardCase({ kind: 'response', samples: 0 })).toThrow(SpecError);
    expect(() => parseGuardCase('both')).toThrow(SpecError);
  });
});

describe('incompatible', () => {
  const table = (name: (typeof OBJECTIVE_NAMES)[number]) =>
    [
      parseGuardCase('prompt'),
      parseGuardCase('response'),
      parseGuardCase({ kind: 'response', sampling: 'mean' }),
      parseGuardCase({ kind: 'response', sampling: 'accepted' }),
    ].map((guardCase) => incompatible(parseObjective(name), guardCase) === null);

  it('gives every objective at least one guard case, and rewards only a response guard', () => {
    for (const name of OBJECTIVE_NAMES) expect(table(name)).toContain(true);
    expect(table('reinforce')).toEqual([false, true, true, true]);
    expect(table('ppo')).toEqual([false, true, true, true]);
    expect(table('tv')).toEqual([true, false, true, true]);
    expect(table('naive-tv')).toEqual([true, false, true, true]);
    expect(table('kl')).toEqual([true, true, true, true]);
    expect(table('tailr')).toEqual([true, true, false, false]);
    expect(table('nll')).toEqual([true, true, false, false]);
  });
});
