/** What is stored of hub models, for the pages that list and delete it. Needs no worker. */
import type { Dtype, HubSource } from '../../formats/model-source';
import { DEFAULT_HUB } from '../../formats/model-source';
import { StoredModelInUseError } from './errors';
import { ifFree, openingLock, useLock } from './locks';
import { Records, type ModelRecord } from './records';
import { deleteFolder, folderNames, ModelFolder } from './storage';

export interface StoredModel {
  /** What {@link deleteStored} takes. */
  key: string;
  repo: string;
  host: string;
  commit: string;
  revisions: readonly string[];
  dtype: Dtype;
  /** Bytes in storage, parts of files included. */
  bytes: number;
  /** Bytes of the whole model; null where the hub has not said. */
  totalBytes: number | null;
  /** Nothing is left to download. */
  complete: boolean;
  /** Milliseconds since 1970. */
  usedAt: number;
}

/** All models of which something is stored, the last used first; none where there is no storage. */
export async function listStored(): Promise<StoredModel[]> {
  const records = await Records.open().catch(() => null);
  if (!records) return [];
  try {
    const models = await Promise.all((await records.all()).map(describe));
    return models.sort((a, b) => b.usedAt - a.usedAt);
  } finally {
    records.close();
  }
}

/** What is stored of one model; null where nothing is. */
export async function findStored(source: HubSource): Promise<StoredModel | null> {
  const records = await Records.open().catch(() => null);
  if (!records) return null;
  try {
    const record = await records.find(source, source.host ?? DEFAULT_HUB);
    return record ? await describe(record) : null;
  } finally {
    records.close();
  }
}

async function describe(record: ModelRecord): Promise<StoredModel> {
  const { key, repo, host, commit, revisions, dtype, files, usedAt } = record;
  const folder = await ModelFolder.open(key).catch(() => null);
  let bytes = 0;
  for (const { path } of files) bytes += (await folder?.read(path))?.size ?? 0;
  const total = files.reduce<number | null>(
    (sum, file) => (sum === null || file.bytes === null ? null : sum + file.bytes),
    0,
  );
  const complete = files.every(({ done }) => done);
  return { key, repo, host, commit, revisions, dtype, bytes, totalBytes: total, complete, usedAt };
}

/**
 * Deletes a stored model, parts included. The hashes of its files stay known.
 * @throws StoredModelInUseError while a worker reads it
 */
export async function deleteStored(key: string): Promise<void> {
  const records = await Records.open();
  try {
    const record = await records.get(key);
    if (!record) return;
    const { host, repo, dtype } = record;
    const deleted = await ifFree([openingLock(host, repo, dtype), useLock(key)], async () => {
      await deleteFolder(key).catch((cause: unknown) => {
        // A worker that ended just now may not have let go of its files.
        throw new StoredModelInUseError({ cause });
      });
      await records.delete(key);
    });
    if (!deleted) throw new StoredModelInUseError();
    await deleteOrphans(records);
  } finally {
    records.close();
  }
}

/** Folders that no record speaks of: a browser may lose the one and keep the other. */
async function deleteOrphans(records: Records): Promise<void> {
  const known = new Set((await records.all()).map(({ key }) => key));
  for (const name of await folderNames()) {
    if (!known.has(name)) await deleteFolder(name).catch(() => undefined);
  }
}

export interface StorageRoom {
  /** Bytes this site uses, and may use at most; null where the browser does not say. */
  usedBytes: number | null;
  quotaBytes: number | null;
  /** The browser will not throw it away by itself. */
  persistent: boolean;
}

export async function storageRoom(): Promise<StorageRoom> {
  try {
    const [{ usage, quota }, persistent] = await Promise.all([
      navigator.storage.estimate(),
      navigator.storage.persisted(),
    ]);
    return { usedBytes: usage ?? null, quotaBytes: quota ?? null, persistent };
  } catch {
    return { usedBytes: null, quotaBytes: null, persistent: false };
  }
}

/** Asks the browser to keep what is stored; only pages may, best right after a click. */
export async function keepStorage(): Promise<boolean> {
  try {
    return await navigator.storage.persist();
  } catch {
    return false;
  }
}
