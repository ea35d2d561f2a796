/**
 * What the trainer keeps between visits: work that can be made again (guard scores, base samples,
 * reference answers) and the last checkpoint. Without storage everything works, only slower.
 */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import type { ProbeRecord, StepRecord } from '../../distill/types';

/** Entries of derived data; a run on a new data set adds about five of up to 1 MB. */
const MOST_DERIVED = 48;

/** The run that was last under way, without its history; earlier versions kept it whole. */
export interface StoredCheckpoint {
  /** `manifestId` of the student that was trained. */
  modelId: string;
  /** Milliseconds since 1970. */
  savedAt: number;
  /** Whose history belongs to it; earlier versions named none. */
  run?: string;
  /** Of this version or an earlier one, see `parseCheckpoint`. */
  checkpoint: unknown;
}

/** What one checkpoint adds to the history of its run. */
export interface HistoryPart {
  run: string;
  steps: StepRecord[];
  probes: ProbeRecord[];
}

export interface Schema extends DBSchema {
  derived: {
    key: string;
    value: { key: string; value: unknown; savedAt: number };
    indexes: { savedAt: number };
  };
  checkpoint: { key: 'last'; value: StoredCheckpoint };
  /** Parts of the checkpoint's history, in the order in which they were added. */
  history: { key: number; value: HistoryPart };
  /** The document of the last sweep, see distill/sweep/sweep-results.ts. */
  sweep: { key: 'last'; value: unknown };
}

let opening: Promise<IDBPDatabase<Schema>> | null = null;

/** @throws where the browser has no storage for this site, or none left */
export function database(): Promise<IDBPDatabase<Schema>> {
  opening ??= openDB<Schema>('retort-trainer', 3, {
    upgrade(db, from) {
      if (from < 1) {
        db.createObjectStore('derived', { keyPath: 'key' }).createIndex('savedAt', 'savedAt');
        db.createObjectStore('checkpoint');
      }
      if (from < 2) db.createObjectStore('sweep');
      if (from < 3) db.createObjectStore('history', { autoIncrement: true });
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
export async function orUndefined<R>(work: Promise<R>): Promise<R | undefined> {
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

export async function getSweep(): Promise<unknown> {
  return orUndefined(database().then((db) => db.get('sweep', 'last')));
}

/** @throws what the browser's storage throws */
export async function putSweep(document: unknown): Promise<void> {
  await (await database()).put('sweep', document, 'last');
}
