import { describe, expect, it } from 'vitest';
import { contentHash } from './dataset';
import {
  fittingPrompts,
  type ImportedSet,
  parseRecipeData,
  recipeData,
  trainingPrompts,
} from './imported-prompts';
import { parseAdapter } from '../adapters/adapter-spec';
import { PROBE_COUNTS } from '../train/probe';
import { parseRecipe, sameRecipe } from '../train/recipe';
import { distil, type RunDeps } from '../train/run';
import { TOY_DOMAIN, toyChat, ToyGuard, toyItems, ToyStudent } from '../testing';

const bundled = toyItems(6);
const set: ImportedSet = { name: 'Clocks', items: toyItems(4) };
const chat = toyChat();
const fit = { chat, maxPositions: 64, virtualTokens: 2, maxNewTokens: 6 };
const long = { ...set.items[0]!, id: 'long', prompt: 'a '.repeat(80) };

describe('recipeData', () => {
  it('names a set by its prompts, and comes through a recipe', () => {
    const data = recipeData(set, 'add');
    expect(data).toEqual({ prompts: 'add', name: 'Clocks', hash: contentHash(set.items) });
    const recipe = parseRecipe({ data });
    expect(recipe.data).toEqual(data);
    expect(parseRecipe({})).not.toHaveProperty('data');
    expect(sameRecipe(recipe, parseRecipe({ data }))).toBe(true);
    for (const other of [parseRecipe({}), parseRecipe({ data: { ...data, prompts: 'replace' } })]) {
      expect(sameRecipe(recipe, other)).toBe(false);
      expect(sameRecipe(other, recipe)).toBe(false);
    }
  });

  it.each([
    ['a text', /data must be an object/],
    [{ name: '', hash: '0'.repeat(16) }, /a name of 1 to 80/],
    [{ name: 'x', hash: 'zz' }, /16 hex digits/],
    [{ name: 'x', hash: '0'.repeat(16), prompts: 'none' }, /one of replace, add/],
    [{ name: 'x', hash: '0'.repeat(16), url: 'y' }, /no field url/],
  ])('refuses %j', (value, message) => {
    expect(() => parseRecipeData(value)).toThrow(message);
    expect(() => parseRecipe({ data: value })).toThrow(message);
  });
});

describe('trainingPrompts', () => {
  it('replaces the bundled prompts, or stands besides them under ids of its own', () => {
    const alone = trainingPrompts(bundled, recipeData(set, 'replace'), set, fit);
    expect(alone.train).toEqual(set.items);
    const { train, imported } = trainingPrompts(bundled, recipeData(set, 'add'), set, fit);
    expect(train).toHaveLength(bundled.length + set.items.length);
    expect(new Set(train.map(({ id }) => id)).size).toBe(train.length);
    expect(imported).toEqual({ hash: contentHash(set.items), tooLong: 0 });
  });

  it('leaves out what does not fit the student, and says how much', () => {
    // Longer than any text that is tokenized: left out like the rest, not an error.
    const endless = { ...long, id: 'endless', prompt: 'a '.repeat(100_000) };
    expect(fittingPrompts([endless, set.items[0]!], fit)).toEqual([set.items[0]]);
    const more = { ...set, items: [long, ...set.items] };
    const data = recipeData(more, 'replace');
    const { train, imported } = trainingPrompts(bundled, data, more, fit);
    expect(train).toEqual(set.items);
    expect(imported).toEqual({ hash: data.hash, tooLong: 1 });
    const only = { ...set, items: [long] };
    expect(() => trainingPrompts(bundled, recipeData(only, 'replace'), only, fit)).toThrow(
      'No prompt of “Clocks” is short enough',
    );
  });

  it('counts a text in the system role', () => {
    const room = chat.encodeChat({ user: set.items[0]!.prompt }).length + 8;
    const tight = { ...fit, maxPositions: room };
    expect(fittingPrompts([set.items[0]!], tight)).toHaveLength(1);
    expect(fittingPrompts([set.items[0]!], { ...tight, maxPositions: room - 1 })).toEqual([]);
    expect(fittingPrompts([set.items[0]!], { ...tight, system: 'be good' })).toEqual([]);
  });

  it('refuses other prompts than the recipe names', () => {
    const data = recipeData(set, 'replace');
    const changed = { ...set, items: set.items.slice(1) };
    expect(() => trainingPrompts(bundled, data, changed, fit)).toThrow('are not those');
  });
});

describe('distil', () => {
  const data = recipeData(set, 'add');
  const recipe = parseRecipe({
    ...{ objective: 'kl', virtualTokens: 2, steps: 2, batchSize: 2, maxNewTokens: 6, data },
  });
  const deps = (more: Partial<RunDeps>): RunDeps => ({
    ...{ chat, engine: new ToyStudent(), guard: new ToyGuard(), judge: new ToyGuard() },
    ...{ domain: TOY_DOMAIN, ids: { student: '0123456789abcdef', guard: 'g', judge: 'j' } },
    ...{ sets: {}, train: bundled },
    environment: {
      ...{ commit: 'unknown', version: '0', runtime: 'test', adapter: 'toy', software: true },
    },
    ...more,
  });

  it('trains on them, makes its data anew and says what it was', async () => {
    const asked: string[] = [];
    const record = await distil(
      recipe,
      deps({
        ...trainingPrompts(bundled, data, set, fit),
        savePrepared: async (name) => void asked.push(name),
      }),
    );
    expect(record.recipe.data).toEqual(data);
    const prompts = bundled.length + set.items.length;
    expect(record.trainedOn).toEqual({ prompts, tooLong: 0 });
    expect(new Set(asked).size).toBe(1);
    expect(asked[0]).not.toContain(contentHash(bundled));
  });

  it('counts what it was trained on, without what it looks at meanwhile', async () => {
    const many = { name: 'Many', items: toyItems(100) };
    const asked = { ...recipe, data: recipeData(many, 'replace') };
    const own = deps(trainingPrompts(bundled, asked.data, many, fit));
    const trained = async (fields: object) =>
      (await distil({ ...asked, ...fields }, own)).trainedOn;
    const held = Object.values(PROBE_COUNTS).reduce((sum, count) => sum + count, 0);
    expect(held).toBeGreaterThan(0);
    expect((await trained({}))?.prompts).toBe(many.items.length - held);
    // Activations of at most 128 prompts of each side.
    const adapter = parseAdapter({ kind: 'steering', source: 'difference' });
    expect((await trained({ adapter }))?.prompts).toBe(2 * 128);
    expect((await trained({ adapter: parseAdapter('preamble') }))?.prompts).toBe(0);
  });

  it('never trains on other prompts than its recipe says', async () => {
    await expect(distil(recipe, deps({}))).rejects.toThrow('“Clocks” are not here');
    const { data: _, ...plain } = recipe;
    const imported = trainingPrompts(bundled, data, set, fit);
    await expect(distil(plain, deps(imported))).rejects.toThrow('names none of the imported');
  });
});
