/** The one IndexedDB database of this app: finished runs, and derived data that can be made again. */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import type { RunRecord } from '../../distill/types';

export interface BlobRecord {
  key: string;
  /** Anything structured-cloneable. */
  value: unknown;
  /** Milliseconds since 1970, to drop the oldest first. */
  savedAt: number;
  bytes: number;
}

interface Schema extends DBSchema {
  runs: { key: string; value: RunRecord; indexes: { createdAt: string } };
  blobs: { key: string; value: BlobRecord; indexes: { savedAt: number } };
}

export type Database = IDBPDatabase<Schema>;

const NAME = 'retort';
const VERSION = 1;

let opening: Promise<Database> | null = null;

/** Opens the database once; a failed or closed one is opened again at the next call. */
export function openDatabase(): Promise<Database> {
  opening ??= connect().catch((error: unknown) => {
    opening = null;
    throw error;
  });
  return opening;
}

/** Closes the connection; the data stay. The next call of {@link openDatabase} reconnects. */
export async function closeDatabase(): Promise<void> {
  const open = opening;
  opening = null;
  (await open)?.close();
}

function connect(): Promise<Database> {
  return openDB<Schema>(NAME, VERSION, {
    upgrade(database) {
      database.createObjectStore('runs', { keyPath: 'id' }).createIndex('createdAt', 'createdAt');
      database.createObjectStore('blobs', { keyPath: 'key' }).createIndex('savedAt', 'savedAt');
    },
    // Another tab with a newer version of the app must not wait for this one.
    blocking(_current, _blocked, event) {
      opening = null;
      (event.target as IDBDatabase).close();
    },
    terminated() {
      opening = null;
    },
  });
}
