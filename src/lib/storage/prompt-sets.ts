/** Imported prompt sets of this browser; nothing leaves the machine. */
import type { PromptItem } from '../../distill/types';
import { openDatabase, type PromptSet } from './database';

export type { PromptSet };

/**
 * Keeps a set and its prompts, both or neither. Rejects where the browser's storage is full or
 * closed.
 */
export async function savePromptSet(set: PromptSet, items: readonly PromptItem[]): Promise<void> {
  const database = await openDatabase();
  const transaction = database.transaction(['promptSets', 'promptItems'], 'readwrite', {
    durability: 'strict',
  });
  await Promise.all([
    transaction.objectStore('promptSets').put(set),
    transaction.objectStore('promptItems').put([...items], set.id),
    transaction.done,
  ]);
}

/** All sets, newest first. */
export async function listPromptSets(): Promise<PromptSet[]> {
  const sets = await (await openDatabase()).getAllFromIndex('promptSets', 'createdAt');
  return sets.reverse();
}

export async function getPromptItems(id: string): Promise<PromptItem[] | undefined> {
  return (await openDatabase()).get('promptItems', id);
}

/** Forgets a set and its prompts; one that is not there is no error. */
export async function deletePromptSet(id: string): Promise<void> {
  const database = await openDatabase();
  const transaction = database.transaction(['promptSets', 'promptItems'], 'readwrite');
  await Promise.all([
    transaction.objectStore('promptSets').delete(id),
    transaction.objectStore('promptItems').delete(id),
    transaction.done,
  ]);
}
