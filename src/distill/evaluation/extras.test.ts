import { describe, expect, it } from 'vitest';
import { parseRecipe } from '../recipe';
import { toyChat, ToyGuard, toyItems, ToyStudent, TOY_DOMAIN } from '../testing';
import { measureExtras } from './extras';

const engine = new ToyStudent();
const deps = {
  ...{ engine, chat: toyChat(), domain: TOY_DOMAIN, guard: new ToyGuard(), judge: new ToyGuard() },
  ids: { student: 's', guard: 'g', judge: 'j' },
};
const items = toyItems(4);
const bytes = { student: 1000, guard: 500 };
const recipe = (fields: object = {}) => parseRecipe({ maxNewTokens: 6, ...fields });
const values = await engine.embeddingRows([8, 20]);
const soft = { kind: 'soft-prompt', values } as const;

describe('measureExtras', () => {
  it('measures what it is asked for, and nothing else', async () => {
    const none = await measureExtras(recipe(), soft, items, deps, { bound: 0, cost: 0 });
    expect(none).toEqual({});
    const both = await measureExtras(recipe(), soft, items, deps, { bound: 2, cost: 1, bytes });
    expect(both.bound!.prompts).toBe(6);
    expect(both.bound!.guardCase).toBe('prompt');
    expect(both.cost!.guarded!.share).toBe(0.5);
    expect(both.cost!.adapter!.prefillRows.once).toBe(2);
    await expect(measureExtras(recipe(), soft, items, deps, { bound: 0, cost: 1 })).rejects.toThrow(
      RangeError,
    );
  });

  it('tells a written preamble to the student, and takes the recipe’s guard case', async () => {
    const options = { bound: 4, cost: 1, bytes };
    const response = recipe({ guardCase: 'response', adapter: 'preamble', objective: 'nll' });
    const told = await measureExtras(response, null, items, deps, options);
    expect(told.bound!.guardCase).toBe('response');
    expect(told.bound!.bound).toBeNull();
    expect(told.cost!.adapter!.bytes).toEqual(told.cost!.preamble!.bytes);
    const untold = await measureExtras(
      recipe({ guardCase: 'response', objective: 'nll' }),
      null,
      items,
      deps,
      { bound: 4, cost: 0 },
    );
    expect(Math.abs(told.bound!.event.gap)).toBeLessThan(Math.abs(untold.bound!.event.gap));
  });
});
