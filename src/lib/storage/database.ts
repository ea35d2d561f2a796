/**
 * The pages' IndexedDB database: finished runs, imported prompt sets, votes. The trainer keeps its
 * own beside it.
 */
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import type { Label, PromptItem, RunRecord } from '../../distill/types';
import type { ImportPlan } from '../../formats/datasets/plan';
import type { Vote } from '../charts/ratings';

/** A run as this version or an earlier one has written it. */
export type KeptRun = Omit<RunRecord, 'values'> & { values?: Float32Array; prompt?: Float32Array };

/** What a list of sets shows; the prompts are kept apart. */
export interface PromptSet {
  id: string;
  name: string;
  /** The file's name or its address. */
  source: string;
  /** ISO 8601. */
  createdAt: string;
  /** `contentHash` of the prompts: recipes and scores name the set by it. */
  hash: string;
  /** How the file was read, template and label rules included: figures need it. */
  plan: ImportPlan;
  counts: Record<Label, number>;
  /** Rows that were left out because something was wrong with them. */
  leftOut: number;
  /** The file went on after the rows that were read. */
  firstRowsOnly: boolean;
}

interface Schema extends DBSchema {
  runs: { key: string; value: KeptRun; indexes: { createdAt: string } };
  promptSets: { key: string; value: PromptSet; indexes: { createdAt: string } };
  /** Prompts by the id of their set, apart from it so that a list of sets stays small. */
  promptItems: { key: string; value: PromptItem[] };
  /** Blind ratings, one a system and answer. */
  votes: { key: string; value: Vote };
}

export type Database = IDBPDatabase<Schema>;

const NAME = 'retort';
const VERSION = 3;

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
    upgrade(database, from) {
      if (from < 1) {
        database.createObjectStore('runs', { keyPath: 'id' }).createIndex('createdAt', 'createdAt');
      }
      if (from < 2) {
        const sets = database.createObjectStore('promptSets', { keyPath: 'id' });
        sets.createIndex('createdAt', 'createdAt');
        database.createObjectStore('promptItems');
      }
      if (from < 3) database.createObjectStore('votes', { keyPath: 'id' });
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
