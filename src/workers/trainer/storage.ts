/**
 * What the trainer keeps between visits: work that can be made again (guard scores, base samples,
 * reference answers) and the last checkpoint. Without storage everything works, only slower.
 */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';

/** Entries of derived data; a run on a new data set adds about five of up to 1 MB. */
const MOST_DERIVED = 48;

/** The run that was last under way. */
export interface KeptCheckpoint {
  /** `manifestId` of the student that was trained. */
  modelId: string;
  /** Milliseconds since 1970. */
  savedAt: number;
  /** Of this version or an earlier one, see `parseCheckpoint`. */
  checkpoint: unknown;
}

interface Schema extends DBSchema {
  derived: {
    key: string;
    value: { key: string; value: unknown; savedAt: number };
    indexes: { savedAt: number };
  };
  checkpoint: { key: 'last'; value: KeptCheckpoint };
  /** The document of the last sweep, see distill/sweep/sweep-results.ts. */
  sweep: { key: 'last'; value: unknown };
}

let opening: Promise<IDBPDatabase<Schema>> | null = null;

function database(): Promise<IDBPDatabase<Schema>> {
  opening ??= openDB<Schema>('retort-trainer', 2, {
    upgrade(db, from) {
      if (from < 1) {
        db.createObjectStore('derived', { keyPath: 'key' }).createIndex('savedAt', 'savedAt');
        db.createObjectStore('checkpoint');
      }
      if (from < 2) db.createObjectStore('sweep');
    },
    blocking(_current, _blocked, event) {
      opening = null;
      (event.target as IDBDatabase).close();
    },
    terminated() {
      opening = null;
    },
  }).catch((error: unknown) => {
    opening = null;
    throw error;
  });
  return opening;
}

/** Private windows and full disks: the caller goes on without. */
async function orUndefined<R>(work: Promise<R>): Promise<R | undefined> {
  try {
    return await work;
  } catch {
    return undefined;
  }
}

/** What is kept under `key`, to be checked by the caller. */
export async function getDerived(key: string): Promise<unknown> {
  return orUndefined(database().then(async (db) => (await db.get('derived', key))?.value));
}

/** Keeps a structured-cloneable value; the oldest entries go first. */
export async function putDerived(key: string, value: unknown): Promise<void> {
  await orUndefined(
    database().then(async (db) => {
      const { store, done } = db.transaction('derived', 'readwrite');
      await store.put({ key, value, savedAt: Date.now() });
      const keys = await store.index('savedAt').getAllKeys();
      for (const old of keys.slice(0, Math.max(0, keys.length - MOST_DERIVED))) {
        await store.delete(old);
      }
      await done;
    }),
  );
}

export async function getCheckpoint(): Promise<KeptCheckpoint | undefined> {
  return orUndefined(database().then((db) => db.get('checkpoint', 'last')));
}

export async function putCheckpoint(kept: KeptCheckpoint): Promise<void> {
  await orUndefined(database().then((db) => db.put('checkpoint', kept, 'last')));
}

export async function deleteCheckpoint(): Promise<void> {
  await orUndefined(database().then((db) => db.delete('checkpoint', 'last')));
}

export async function getSweep(): Promise<unknown> {
  return orUndefined(database().then((db) => db.get('sweep', 'last')));
}

export async function putSweep(document: unknown): Promise<void> {
  await orUndefined(database().then((db) => db.put('sweep', document, 'last')));
}
