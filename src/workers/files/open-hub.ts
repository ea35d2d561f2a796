/**
 * A model of a hub: from storage where it is whole, else downloaded into storage file by file. One
 * lock for each repository and dtype, so that workers and tabs download a model once.
 */
import { DEFAULT_HUB, type HubSource } from '../../formats/model-source';
import { blobSet } from './blob-set';
import { CONFIG, requireChunks } from './choose';
import { BROWSER, type FilesEnvironment } from './environment';
import type { ModelFileSet } from './file-set';
import { idOfFiles, sha256OfBlob } from './hash';
import { fileUrl } from './hub';
import { lookUp } from './look-up';
import type { OpenOptions } from './open-options';
import { DownloadProgress } from './progress';
import { changed, type ModelRecord, Records, type StoredFile } from './records';
import type { HubContext } from './request';
import { MemorySink, type Sink, SpillingSink } from './sink';
import { ModelFolder } from './storage';
import { transfer } from './transfer';
import { holdInUse, openingLock, openLock } from './locks';

/** Files up to this size are hashed again whenever they are opened; larger ones were at download. */
const RECHECKED = 32 * 2 ** 20;

/** @throws what openModel does */
export async function openHub(
  source: HubSource,
  options: OpenOptions,
  environment: FilesEnvironment = BROWSER,
): Promise<ModelFileSet> {
  const { signal, onProgress } = options;
  const host = source.host ?? DEFAULT_HUB;
  const lock = openingLock(host, source.repo, source.dtype);
  const onWait = () =>
    onProgress?.({
      phase: 'download',
      done: 0,
      total: 0,
      unit: 'bytes',
      waiting: {
        for: 'other-download',
        reason: `Another part of this app is loading ${source.repo}.`,
        milliseconds: null,
      },
    });
  return openLock(lock, { ...(signal ? { signal } : {}), onWait }, async () => {
    const records = await Records.open().catch(() => null);
    try {
      return await new Opening(source, host, options, environment, records).run();
    } finally {
      records?.close();
    }
  });
}

class Opening {
  private readonly progress: DownloadProgress;
  private readonly context: HubContext;

  constructor(
    private readonly source: HubSource,
    private readonly host: string,
    private readonly options: OpenOptions,
    private readonly environment: FilesEnvironment,
    private readonly records: Records | null,
  ) {
    this.progress = new DownloadProgress(options.onProgress, 0);
    this.context = {
      repo: source.repo,
      host,
      environment,
      onWaiting: (waiting) => this.progress.waiting(waiting),
      ...(options.token ? { token: options.token } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
    };
  }

  async run(): Promise<ModelFileSet> {
    const { record, isKept } = await lookUp(this.source, this.host, this.context, this.records);
    this.checkExpected(record);
    const folder = isKept ? await ModelFolder.open(record.key).catch(() => null) : null;
    this.progress.total = record.files.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
    const blobs = folder ? await this.fromStorage(record, folder) : new Map<string, Blob>();
    const fromCache = blobs.size === record.files.length;
    let stored: ModelFileSet['stored'] = 'opfs';
    if (!fromCache) stored = await this.download(record, folder, blobs);
    record.usedAt = Date.now();
    await this.save(record);
    const id = await idOfFiles(record.files.map(({ path, sha256 }) => ({ path, sha256: sha256! })));
    const about = { id, label: record.repo, revision: record.commit, fromCache, stored };
    return blobSet(about, blobs, await holdInUse(record.key));
  }

  /** Hashes that the caller knows, as from the catalogue, stand above what the hub says. */
  private checkExpected({ files }: ModelRecord): void {
    for (const file of files) {
      const expected = this.options.sha256?.[file.path];
      if (expected === undefined) continue;
      if (file.sha256 !== null && file.sha256 !== expected) {
        throw changed(file.path, expected, file.sha256);
      }
      file.sha256 = expected;
    }
  }

  /** What is whole in storage; a file that is not what its record says is forgotten. */
  private async fromStorage(record: ModelRecord, folder: ModelFolder): Promise<Map<string, Blob>> {
    const blobs = new Map<string, Blob>();
    let checked = 0;
    for (const file of record.files) {
      if (!file.done) continue;
      const blob = await folder.read(file.path);
      if (blob !== null && (await this.isWhole(file, blob))) {
        blobs.set(file.path, blob);
        checked += blob.size;
        this.progress.verifying(checked, true);
        continue;
      }
      await folder.delete(file.path);
      file.done = false;
      file.etag = null;
    }
    return blobs;
  }

  private async isWhole(file: StoredFile, blob: Blob): Promise<boolean> {
    if (blob.size !== file.bytes) return false;
    if (blob.size > RECHECKED) return true;
    const { signal } = this.options;
    try {
      return (await sha256OfBlob(blob, signal)) === file.sha256;
    } catch {
      signal?.throwIfAborted();
      return false;
    }
  }

  private async download(
    record: ModelRecord,
    folder: ModelFolder | null,
    blobs: Map<string, Blob>,
  ): Promise<'opfs' | 'memory'> {
    const missing = record.files.filter(({ path }) => !blobs.has(path));
    const parts = new Map<string, number>();
    for (const { path } of missing) parts.set(path, (await folder?.read(path))?.size ?? 0);
    const there = [...blobs.values()].reduce((sum, { size }) => sum + size, 0);
    const partial = [...parts.values()].reduce((sum, size) => sum + size, 0);
    this.progress.begin(there, partial);
    const free = await this.environment.freeBytes();
    const needed = this.progress.total - there - partial;
    const keeps = folder !== null && (free === null || free >= needed) ? folder : null;
    let inMemory = false;
    for (const file of missing) {
      const sink = await this.sinkFor(file, keeps);
      let blob: Blob;
      try {
        blob = await this.fetchFile(record, file, sink);
      } catch (error) {
        this.progress.end();
        sink.close();
        throw error;
      }
      inMemory ||= sink.inMemory;
      file.done = !sink.inMemory;
      blobs.set(file.path, blob);
      await this.save(record);
      if (file.path === CONFIG) await this.checkConfig(record, blob);
    }
    return inMemory ? 'memory' : 'opfs';
  }

  private async sinkFor(file: StoredFile, folder: ModelFolder | null): Promise<Sink> {
    if (!folder) return new MemorySink();
    try {
      return await SpillingSink.open(folder, file.path, this.environment);
    } catch {
      // No sync access handles here, or the file is held elsewhere.
      return new MemorySink();
    }
  }

  private async fetchFile(record: ModelRecord, file: StoredFile, sink: Sink): Promise<Blob> {
    const { host, context, progress } = this;
    const url = fileUrl(host, record.repo, record.commit, file.path);
    const { bytes, sha256 } = await transfer(url, file, sink, {
      context,
      etag: file.etag,
      onEtag: async (etag) => {
        file.etag = etag;
        await this.save(record);
      },
      onBytes: (size) => progress.report(size),
    });
    const isNew = file.sha256 === null;
    Object.assign(file, { bytes, sha256 });
    if (isNew) await this.records?.pin(record, [file]);
    progress.add(bytes);
    return sink.finish();
  }

  private async checkConfig(record: ModelRecord, blob: Blob): Promise<void> {
    let config: unknown;
    try {
      config = JSON.parse(await blob.text());
    } catch {
      // Whoever reads it will say so, with more words.
      return;
    }
    const paths = record.files.map(({ path }) => path);
    requireChunks(config, record.dtype, paths, `The model ${record.repo}`);
  }

  /** A full or missing database costs the next visit a download, not this one the model. */
  private async save(record: ModelRecord): Promise<void> {
    await this.records?.put(record).catch(() => undefined);
  }
}
