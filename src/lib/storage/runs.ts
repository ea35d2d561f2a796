/** Finished runs of this browser. They outlive reloads and restarts; nothing leaves the machine. */
import type { RunRecord } from '../../distill/types';
import { openDatabase } from './database';

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
  return (await openDatabase()).get('runs', id);
}

/** All runs, newest first. */
export async function listRuns(): Promise<RunRecord[]> {
  const runs = await (await openDatabase()).getAllFromIndex('runs', 'createdAt');
  return runs.reverse();
}

/** Forgets a run; one that is not there is no error. */
export async function deleteRun(id: string): Promise<void> {
  await (await openDatabase()).delete('runs', id);
}
