import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_RECIPE } from '../../distill/train/recipe';
import type { RunRecord } from '../../distill/types';
import { closeDatabase, openDatabase } from './database';
import { deleteRun, getRun, listRuns, saveRun } from './runs';

function run(id: string, createdAt: string): RunRecord {
  return {
    id,
    createdAt,
    recipe: { ...DEFAULT_RECIPE },
    modelId: '0123456789abcdef',
    environment: { commit: 'c', version: '0', runtime: 'r', adapter: 'a', software: true },
    steps: [{ step: 0, loss: 0.5, gradientNorm: 1, learningRate: 0.02, seconds: 0.1 }],
    probes: [],
    values: Float32Array.of(0.25, -1, 0, 3),
    dim: 2,
    evaluations: [],
    seconds: { train: 12 },
    share: 'AbC',
    status: 'finished',
  };
}

async function forgetAll(): Promise<void> {
  for (const { id } of await listRuns()) await deleteRun(id);
}

beforeEach(forgetAll);
afterEach(async () => {
  await forgetAll();
  await closeDatabase();
});

describe('runs', () => {
  it('are still there, prompt and link included, when the database is opened anew', async () => {
    const saved = run('a', '2026-01-02T00:00:00.000Z');
    await saveRun(saved);
    await closeDatabase();
    expect(await getRun('a')).toEqual(saved);
    expect((await getRun('a'))?.values).toBeInstanceOf(Float32Array);
  });

  it('that an earlier version has kept are read as this one has them', async () => {
    const { values, recipe, ...rest } = run('a', '2026-01-02T00:00:00.000Z');
    const { adapter: _, objective: __, guardCase: ___, ...numbers } = recipe;
    const old = { ...numbers, objective: 'tv', virtualTokens: 16 } as unknown as typeof recipe;
    const database = await openDatabase();
    await database.put('runs', { ...rest, recipe: old, prompt: values });
    expect(await getRun('a')).toEqual({ ...rest, recipe, values });
    const strange = { ...old, colour: 'red' };
    await database.put('runs', { ...rest, id: 'b', recipe: strange, prompt: values });
    expect((await listRuns()).map(({ id }) => id)).toEqual(['a']);
    expect(await database.count('runs')).toBe(2);
    await database.delete('runs', 'b');
  });

  it('come newest first', async () => {
    await saveRun(run('old', '2026-01-01T00:00:00.000Z'));
    await saveRun(run('new', '2026-01-03T00:00:00.000Z'));
    await saveRun(run('middle', '2026-01-02T00:00:00.000Z'));
    expect((await listRuns()).map(({ id }) => id)).toEqual(['new', 'middle', 'old']);
  });

  it('replace one of the same id', async () => {
    await saveRun(run('a', '2026-01-01T00:00:00.000Z'));
    await saveRun({ ...run('a', '2026-01-01T00:00:00.000Z'), status: 'stopped' });
    expect((await listRuns()).map(({ status }) => status)).toEqual(['stopped']);
  });

  it('can be forgotten', async () => {
    await saveRun(run('a', '2026-01-01T00:00:00.000Z'));
    await deleteRun('a');
    await deleteRun('never there');
    expect(await getRun('a')).toBeUndefined();
    expect(await listRuns()).toEqual([]);
  });
});
