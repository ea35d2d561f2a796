/** What of hub models is in this browser, and how much room is left. */
import {
  deleteStored,
  keepStorage,
  listStored,
  storageRoom,
  type StoredModel,
  type StorageRoom,
} from '../../../workers/files/stored';
import { problemOf, type Problem } from '../errors';

class StoredModels {
  list = $state.raw<readonly StoredModel[]>([]);
  room = $state.raw<StorageRoom | null>(null);
  problem = $state.raw<Problem | null>(null);

  get freeBytes(): number | null {
    const { usedBytes, quotaBytes } = this.room ?? { usedBytes: null, quotaBytes: null };
    return usedBytes === null || quotaBytes === null ? null : Math.max(0, quotaBytes - usedBytes);
  }

  async read(): Promise<void> {
    try {
      [this.list, this.room] = await Promise.all([listStored(), storageRoom()]);
    } catch (error) {
      this.problem = problemOf(error);
    }
  }

  async remove(key: string): Promise<void> {
    this.problem = null;
    try {
      await deleteStored(key);
    } catch (error) {
      this.problem = problemOf(error);
    }
    await this.read();
  }

  /** Asks the browser not to throw models away; it may say no. */
  async keep(): Promise<void> {
    await keepStorage();
    await this.read();
  }
}

export const storedModels = new StoredModels();
