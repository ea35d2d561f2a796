import { deleteDB, openDB } from 'idb';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PromptItem } from '../../distill/types';
import { NO_COLUMNS } from '../../formats/datasets/plan';
import { closeDatabase } from './database';
import {
  deletePromptSet,
  getPromptItems,
  listPromptSets,
  type PromptSet,
  savePromptSet,
} from './prompt-sets';
import { listRuns } from './runs';

const items: PromptItem[] = [
  { id: '1', prompt: 'Good day', label: 'benign', intent: 'greet', answer: 'Hello' },
  { id: '2', prompt: 'Good night', label: 'borderline', intent: 'leave' },
];

function set(id: string, createdAt: string): PromptSet {
  return {
    ...{
      id,
      createdAt,
      name: 'Greetings',
      source: 'greetings.csv',
      leftOut: 0,
      hash: 'a'.repeat(16),
    },
    plan: {
      layout: 'generic',
      mapping: { ...NO_COLUMNS, prompt: 'prompt' },
      labels: { kind: 'all', label: 'benign' },
      ...{ template: '{prompt}', contextTemplate: '{prompt} {context}', repeats: 'keep' },
    },
    counts: { harmful: 0, borderline: 1, benign: 1 },
    firstRowsOnly: false,
  };
}

async function forgetAll(): Promise<void> {
  await closeDatabase();
  await deleteDB('retort');
}

beforeEach(forgetAll);
afterEach(forgetAll);

describe('prompt sets', () => {
  it('are still there when the database is opened anew, newest first', async () => {
    await savePromptSet(set('old', '2026-01-01T00:00:00.000Z'), items);
    await savePromptSet(set('new', '2026-01-02T00:00:00.000Z'), []);
    await closeDatabase();
    expect((await listPromptSets()).map(({ id }) => id)).toEqual(['new', 'old']);
    expect((await listPromptSets())[1]).toEqual(set('old', '2026-01-01T00:00:00.000Z'));
    expect(await getPromptItems('old')).toEqual(items);
  });

  it('are forgotten with their prompts', async () => {
    await savePromptSet(set('a', '2026-01-01T00:00:00.000Z'), items);
    await deletePromptSet('a');
    await deletePromptSet('never there');
    expect(await listPromptSets()).toEqual([]);
    expect(await getPromptItems('a')).toBeUndefined();
  });

  it('come to a database of the version before, whose runs stay', async () => {
    const before = await openDB('retort', 1, {
      upgrade(database) {
        database.createObjectStore('runs', { keyPath: 'id' }).createIndex('createdAt', 'createdAt');
      },
    });
    await before.put('runs', { id: 'kept', createdAt: '2026-01-01T00:00:00.000Z' });
    before.close();
    await savePromptSet(set('a', '2026-01-01T00:00:00.000Z'), items);
    expect((await listRuns()).map(({ id }) => id)).toEqual(['kept']);
    expect(await getPromptItems('a')).toHaveLength(2);
  });
});
