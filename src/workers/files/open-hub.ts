/**
 * A model of a hub: from storage where it is whole, else downloaded into storage file by file. One
 * lock for each repository and dtype, so that workers and tabs download a model once.
 */
import { blobSource } from '../../formats/byte-source';
import { DEFAULT_HUB, type HubSource, onnxPath } from '../../formats/model-source';
import { readExternalFiles } from '../../formats/onnx/external';
import { blobSet } from './blob-set';
import { SMALL_FILES } from './choose';
import { BROWSER, type FilesEnvironment } from './environment';
import type { ModelFileSet } from './file-set';
import { idOfFiles, sha256OfBlob } from './hash';
import { fileUrl } from './hub';
import { lookUp, lookUpMore } from './look-up';
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
    this.progress.total = bytesOf(record.files);
    const blobs = folder ? await this.fromStorage(record, folder) : new Map<string, Blob>();
    const onnx = blobs.get(onnxPath(record.dtype));
    if (onnx) await this.settleData(record, onnx, blobs);
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
    // The weights' own file adds those that it names.
    for (const file of missing) {
      if (!record.files.includes(file)) continue;
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
      if (file.path === onnxPath(record.dtype)) {
        missing.push(...(await this.settleData(record, blob, blobs)));
      }
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

  /**
   * Leaves the files of external data that the weights name themselves: others beside them were
   * guesses by name. Returns those that were not known.
   */
  private async settleData(
    record: ModelRecord,
    onnx: Blob,
    blobs: Map<string, Blob>,
  ): Promise<StoredFile[]> {
    const path = onnxPath(record.dtype);
    const named = await readExternalFiles(blobSource(onnx), path);
    const wanted = new Set([...SMALL_FILES, path, ...named]);
    record.files = record.files.filter((file) => wanted.has(file.path));
    for (const other of blobs.keys()) if (!wanted.has(other)) blobs.delete(other);
    const known = new Set(record.files.map((file) => file.path));
    const unknown = named.filter((one) => !known.has(one));
    if (unknown.length === 0) return [];
    const found = await lookUpMore(record, unknown, this.context, this.records);
    const more = found.map((file): StoredFile => ({ ...file, done: false, etag: null }));
    record.files.push(...more);
    this.checkExpected(record);
    this.progress.total = bytesOf(record.files);
    return more;
  }

  /** A full or missing database costs the next visit a download, not this one the model. */
  private async save(record: ModelRecord): Promise<void> {
    await this.records?.put(record).catch(() => undefined);
  }
}

function bytesOf(files: readonly StoredFile[]): number {
  return files.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
}
