/** The pages' IndexedDB database: finished runs. The trainer keeps its own beside it. */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import type { RunRecord } from '../../distill/types';

interface Schema extends DBSchema {
  runs: { key: string; value: RunRecord; indexes: { createdAt: string } };
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
