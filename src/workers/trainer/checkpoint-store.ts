/**
 * The last checkpoint of this browser: its history of steps and probes is appended to, the rest is
 * replaced. A checkpoint is written whole or not at all.
 */
import type { IDBPObjectStore } from 'idb';
import type { Checkpoint } from '../../distill/train/checkpoint';
import { database, orUndefined, type Schema, type StoredCheckpoint } from './storage';

/** The last checkpoint with its whole history; undefined where there is none, or no storage. */
export async function getCheckpoint(): Promise<StoredCheckpoint | undefined> {
  return orUndefined(
    database().then(async (db) => {
      const transaction = db.transaction(['checkpoint', 'history']);
      const [kept, parts] = await Promise.all([
        transaction.objectStore('checkpoint').get('last'),
        transaction.objectStore('history').getAll(),
      ]);
      if (kept?.run === undefined) return kept;
      const own = parts.filter(({ run }) => run === kept.run);
      const steps = own.flatMap((part) => part.steps);
      const probes = own.flatMap((part) => part.probes);
      return { ...kept, checkpoint: { ...(kept.checkpoint as object), steps, probes } };
    }),
  );
}

/** Keeps the checkpoints of one run under way, in place of any other run's. */
export class CheckpointWriter {
  private readonly run = crypto.randomUUID();
  /** Lengths of what is kept. */
  private kept = { steps: 0, probes: 0 };

  /** @param resumed what the run goes on from */
  constructor(
    private readonly modelId: string,
    private readonly resumed?: StoredCheckpoint,
  ) {}

  /** @throws what the browser's storage throws; what was kept before is then still whole */
  async keep({ steps, probes, ...checkpoint }: Checkpoint): Promise<void> {
    const { run, modelId } = this;
    await changeWhole(async (last, history) => {
      // Another tab may have begun a run meanwhile, and cleared what this one had kept.
      const goesOn = (await last.get('last'))?.run === run;
      const from = goesOn ? this.kept : { steps: 0, probes: 0 };
      if (!goesOn) await history.clear();
      await history.add({ run, steps: steps.slice(from.steps), probes: probes.slice(from.probes) });
      await last.put({ modelId, savedAt: Date.now(), run, checkpoint }, 'last');
    });
    this.kept = { steps: steps.length, probes: probes.length };
  }

  /** The run has ended: nothing is left to go on with. Another run's checkpoint stays. */
  async forget(): Promise<void> {
    const { run, resumed } = this;
    const forgetting = changeWhole(async (last, history) => {
      const kept = await last.get('last');
      const isResumed = resumed && kept?.run === resumed.run && kept?.savedAt === resumed.savedAt;
      if (kept?.run !== run && !isResumed) return;
      await history.clear();
      await last.clear();
    });
    await orUndefined(forgetting);
  }
}

type Stores = ['checkpoint', 'history'];
type Store<Name extends Stores[number]> = IDBPObjectStore<Schema, Stores, Name, 'readwrite'>;

/** Makes all of a change or nothing of it. */
async function changeWhole(
  change: (last: Store<'checkpoint'>, history: Store<'history'>) => Promise<void>,
): Promise<void> {
  const stores: Stores = ['checkpoint', 'history'];
  const transaction = (await database()).transaction(stores, 'readwrite');
  const { done } = transaction;
  // Awaited below; a change that fails is told by its own error.
  done.catch(() => undefined);
  try {
    await change(transaction.objectStore('checkpoint'), transaction.objectStore('history'));
  } catch (error) {
    abortQuietly(transaction);
    throw error;
  }
  await done;
}

function abortQuietly(transaction: { abort(): void }): void {
  try {
    transaction.abort();
  } catch {
    // It had ended by itself.
  }
}
