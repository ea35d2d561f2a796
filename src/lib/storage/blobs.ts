/**
 * Derived data that took a while to make and can be made again: base samples, guard scores, teacher
 * states. Keys name all that the data depend on (model, data set, recipe); the oldest go first.
 */
import { openDatabase } from './database';

/** What may be kept in all. */
export const BLOB_BUDGET_BYTES = 256 * 2 ** 20;

/** Keeps a structured-cloneable `value` of about `bytes` bytes under `key`. */
export async function saveBlob(
  key: string,
  value: unknown,
  bytes: number,
  budget = BLOB_BUDGET_BYTES,
): Promise<void> {
  if (bytes > budget) return;
  const database = await openDatabase();
  const transaction = database.transaction('blobs', 'readwrite');
  const { store } = transaction;
  await store.put({ key, value, savedAt: Date.now(), bytes });
  // From the newest to the oldest: what no longer fits goes.
  let total = bytes;
  for (
    let cursor = await store.index('savedAt').openCursor(null, 'prev');
    cursor;
    cursor = await cursor.continue()
  ) {
    if (cursor.value.key === key) continue;
    total += cursor.value.bytes;
    if (total > budget) await cursor.delete();
  }
  await transaction.done;
}

/** What is kept under `key`, to be checked by the caller; undefined where there is nothing. */
export async function getBlob(key: string): Promise<unknown> {
  return (await (await openDatabase()).get('blobs', key))?.value;
}

/** Forgets everything that can be made again. */
export async function clearBlobs(): Promise<void> {
  await (await openDatabase()).clear('blobs');
}
