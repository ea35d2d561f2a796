import { deleteDB, openDB } from 'idb';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Vote } from '../charts/ratings';
import { closeDatabase } from './database';
import { listPromptSets } from './prompt-sets';
import { deleteVotes, listVotes, saveVotes } from './votes';

function vote(id: string, yes: boolean): Vote {
  return {
    ...{ id, set: 'wording', system: 'base', item: 'w1', prompt: 'Sum?', answer: '2' },
    ...{ question: 'useful', yes, against: 'run', seed: 0, ratedAt: '2026-01-01T00:00:00.000Z' },
  };
}

async function forgetAll(): Promise<void> {
  await closeDatabase();
  await deleteDB('retort');
}

beforeEach(forgetAll);
afterEach(forgetAll);

it('keeps votes over a restart, replaces and forgets them', async () => {
  await saveVotes([vote('a', true), vote('b', false)]);
  await saveVotes([vote('b', true)]);
  await closeDatabase();
  expect(await listVotes()).toEqual([vote('a', true), vote('b', true)]);
  await deleteVotes(['a', 'never there']);
  expect((await listVotes()).map(({ id }) => id)).toEqual(['b']);
});

it('comes to a database of the version before, whose sets stay', async () => {
  const before = await openDB('retort', 2, {
    upgrade(database) {
      database.createObjectStore('runs', { keyPath: 'id' }).createIndex('createdAt', 'createdAt');
      const sets = database.createObjectStore('promptSets', { keyPath: 'id' });
      sets.createIndex('createdAt', 'createdAt');
      database.createObjectStore('promptItems');
    },
  });
  await before.put('promptSets', { id: 'kept', createdAt: '2026-01-01T00:00:00.000Z' });
  before.close();
  await saveVotes([vote('a', true)]);
  expect((await listPromptSets()).map(({ id }) => id)).toEqual(['kept']);
});
