/** Finished runs of this browser. They outlive reloads and restarts; nothing leaves the machine. */
import { parseRecipe, RecipeError } from '../../distill/train/recipe';
import type { RunRecord } from '../../distill/types';
import { type KeptRun, openDatabase } from './database';

/**
 * Keeps `run`, replacing one of the same id. Resolves when it is on disk, so that a reload straight
 * afterwards still finds it. Rejects where the browser's storage is full or closed.
 */
export async function saveRun(run: RunRecord): Promise<void> {
  const database = await openDatabase();
  const transaction = database.transaction('runs', 'readwrite', { durability: 'strict' });
  await Promise.all([transaction.store.put(run), transaction.done]);
}

export async function getRun(id: string): Promise<RunRecord | undefined> {
  const kept = await (await openDatabase()).get('runs', id);
  return kept && present(kept);
}

/** All runs, newest first. */
export async function listRuns(): Promise<RunRecord[]> {
  const runs = await (await openDatabase()).getAllFromIndex('runs', 'createdAt');
  return runs.reverse().flatMap((run) => present(run) ?? []);
}

/**
 * A run as this version has it. Earlier ones called the values a prompt and had flat recipes; one
 * that a later version has written, with a recipe unknown here, stays in storage but is not listed.
 */
function present({ prompt, ...kept }: KeptRun): RunRecord | undefined {
  try {
    const recipe = parseRecipe({ ...kept.recipe });
    return { ...kept, recipe, values: kept.values ?? prompt ?? new Float32Array() };
  } catch (error) {
    if (error instanceof RecipeError) return undefined;
    throw error;
  }
}

/** Forgets a run; one that is not there is no error. */
export async function deleteRun(id: string): Promise<void> {
  await (await openDatabase()).delete('runs', id);
}
