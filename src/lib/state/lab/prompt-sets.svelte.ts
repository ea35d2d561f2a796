/** Imported prompt sets of this browser, newest first. They outlive a reload in IndexedDB. */
import type { ImportedSet } from '../../../distill/data/imported-prompts';
import type { PromptItem } from '../../../distill/types';
import { RefusedError } from '../errors';
import {
  deletePromptSet,
  getPromptItems,
  listPromptSets,
  type PromptSet,
  savePromptSet,
} from '$lib/storage/prompt-sets';

class PromptSets {
  list = $state.raw<PromptSet[]>([]);
  /** Why sets cannot be kept, in a sentence; null when they can. */
  problem = $state<string | null>(null);
  ready = $state(false);

  #loading: Promise<void> | null = null;

  load(): Promise<void> {
    return (this.#loading ??= this.#read());
  }

  /** Whether the set is kept; if not, `problem` says why. */
  async save(set: PromptSet, items: readonly PromptItem[]): Promise<boolean> {
    try {
      await savePromptSet(set, items);
    } catch {
      this.problem = 'The set could not be kept: the browser’s storage is full or closed.';
      return false;
    }
    this.list = [set, ...this.list.filter(({ id }) => id !== set.id)];
    this.problem = null;
    return true;
  }

  /** The prompts of a set; undefined where it is gone. */
  items(id: string): Promise<PromptItem[] | undefined> {
    return getPromptItems(id);
  }

  /** @throws an error for people where no kept set has these prompts */
  async byHash(hash: string, name: string): Promise<ImportedSet> {
    await this.load();
    const set = this.list.find((each) => each.hash === hash);
    const items = set && (await this.items(set.id));
    if (items) return { name: set.name, items };
    const message = `The prompt set “${name}” is not in this browser any more. Import it again.`;
    throw new RefusedError('bad-input', message);
  }

  async remove(id: string): Promise<void> {
    this.list = this.list.filter((set) => set.id !== id);
    try {
      await deletePromptSet(id);
    } catch {
      this.problem = 'The set could not be removed from the browser’s storage.';
    }
  }

  async #read(): Promise<void> {
    try {
      this.list = await listPromptSets();
    } catch {
      this.problem = 'This browser keeps no prompt sets here (private window or blocked storage).';
    }
    this.ready = true;
  }
}

export const promptSets = new PromptSets();
