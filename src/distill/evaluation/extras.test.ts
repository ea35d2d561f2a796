import { describe, expect, it } from 'vitest';
import { adaptationOf, decoderShape } from '../adapters/adaptation';
import { parseRecipe } from '../train/recipe';
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

  it('counts what an adapter consists of, not the gaps of its layout, whether trained or not', async () => {
    const { dim, layers } = engine.config;
    const counted = async (adapter: object, values: number) => {
      const spec = recipe({ adapter, objective: 'nll' });
      const adaptation = adaptationOf(spec.adapter, new Float32Array(values), engine.config);
      const { cost } = await measureExtras(spec, adaptation, items, deps, {
        bound: 0,
        cost: 1,
        bytes,
      });
      return cost!.adapter!.bytes.f32 / 4;
    };
    // A layout as long as the engine's, whose gaps hold nothing.
    const lora = { kind: 'lora', rank: 1, targets: ['q'] };
    const { queryDim } = decoderShape(engine.config);
    expect(await counted(lora, 1000)).toBe(layers * (dim + queryDim));
    expect(await counted({ kind: 'steering' }, layers * dim)).toBe(layers * dim);
    const difference = { kind: 'steering', layers: 'one', source: 'difference' };
    expect(await counted(difference, dim)).toBe(dim);
    // A small form travels as its few values, whatever it unfolds to.
    expect(await counted({ kind: 'soft-prompt', n: 2, form: 'rows', size: 3 }, 2 * dim)).toBe(6);
  });
});
