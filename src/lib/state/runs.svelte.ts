/** Finished runs of this browser, newest first. They outlive a reload in IndexedDB. */
import type { RunRecord } from '../../distill/types';
import { deleteRun, listRuns, saveRun } from '$lib/storage/runs';

class Runs {
  list = $state.raw<RunRecord[]>([]);
  /** Why runs cannot be kept, in a sentence; null when they can. */
  problem = $state<string | null>(null);
  ready = $state(false);

  #loading: Promise<void> | null = null;

  load(): Promise<void> {
    return (this.#loading ??= this.#read());
  }

  async save(run: RunRecord): Promise<void> {
    this.list = [run, ...this.list.filter((r) => r.id !== run.id)].sort((a, b) =>
      a.createdAt < b.createdAt ? 1 : -1,
    );
    try {
      await saveRun(run);
      this.problem = null;
    } catch {
      this.problem =
        'This run could not be kept: the browser’s storage is full or closed. It stays until the tab is closed; its link can be copied.';
    }
  }

  async remove(id: string): Promise<void> {
    this.list = this.list.filter((run) => run.id !== id);
    try {
      await deleteRun(id);
    } catch {
      this.problem = 'The run could not be removed from the browser’s storage.';
    }
  }

  find(id: string): RunRecord | undefined {
    return this.list.find((run) => run.id === id);
  }

  async #read(): Promise<void> {
    try {
      this.list = [...(await listRuns())].sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
    } catch {
      this.problem = 'This browser keeps no runs here (private window or blocked storage).';
    }
    this.ready = true;
  }
}

export const runs = new Runs();
