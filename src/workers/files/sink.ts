/** Where a download's bytes go: to storage as long as that takes them, then to memory. */
import type { FilesEnvironment } from './environment';
import type { ModelFolder, SyncAccessHandle } from './storage';

/** Memory is handed to the browser in pieces of this size: Blobs may lie on disk. */
const PIECE = 64 * 2 ** 20;

/** What a transfer needs of the place for its bytes. */
export interface ByteSink {
  /** Bytes that are there. */
  readonly size: number;
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** All bytes so far, a piece at a time. */
  pieces(): AsyncIterable<Uint8Array>;
  /** Forgets all bytes. */
  clear(): void;
}

export interface Sink extends ByteSink {
  /** What was written, once it is whole. Closes. */
  finish(): Promise<Blob>;
  /** Keeps what is there for another time. */
  close(): void;
  readonly inMemory: boolean;
}

export class MemorySink implements Sink {
  readonly inMemory = true;
  private blobs: Blob[] = [];
  private waiting: Uint8Array<ArrayBuffer>[] = [];
  private waitingBytes = 0;
  size = 0;

  async write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    this.waiting.push(bytes);
    this.waitingBytes += bytes.byteLength;
    this.size += bytes.byteLength;
    if (this.waitingBytes >= PIECE) this.collect();
  }

  private collect(): void {
    this.blobs.push(new Blob(this.waiting));
    this.waiting = [];
    this.waitingBytes = 0;
  }

  async *pieces(): AsyncIterable<Uint8Array> {
    this.collect();
    for (const blob of this.blobs) yield new Uint8Array(await blob.arrayBuffer());
  }

  clear(): void {
    this.blobs = [];
    this.waiting = [];
    this.waitingBytes = this.size = 0;
  }

  async finish(): Promise<Blob> {
    this.collect();
    return new Blob(this.blobs);
  }

  close(): void {
    this.clear();
  }
}

/** Writes to one file of OPFS through a sync access handle, which only workers have. */
class StorageSink implements Sink {
  readonly inMemory = false;
  size: number;

  private constructor(
    private readonly folder: ModelFolder,
    private readonly path: string,
    private readonly handle: SyncAccessHandle,
    private readonly beforeWrite: ((bytes: number) => void) | undefined,
  ) {
    this.size = handle.getSize();
  }

  static async open(
    folder: ModelFolder,
    path: string,
    { beforeWrite }: FilesEnvironment,
  ): Promise<StorageSink> {
    const handle = await folder.openForWriting(path);
    return new StorageSink(folder, path, handle, beforeWrite);
  }

  /** @throws StorageFullError where not every byte went in; `size` then says how many did */
  async write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      this.beforeWrite?.(bytes.byteLength);
      const written = this.handle.write(bytes, { at: this.size });
      if (written === bytes.byteLength) {
        this.size += written;
        return;
      }
    } catch (cause) {
      this.handle.truncate(this.size);
      if (!isQuota(cause)) throw cause;
    }
    this.handle.truncate(this.size);
    throw new StorageFullError();
  }

  async *pieces(): AsyncIterable<Uint8Array<ArrayBuffer>> {
    for (let at = 0; at < this.size; at += PIECE) {
      const piece = new Uint8Array(Math.min(PIECE, this.size - at));
      this.handle.read(piece, { at });
      yield piece;
    }
  }

  clear(): void {
    this.handle.truncate(0);
    this.size = 0;
  }

  async finish(): Promise<Blob> {
    this.close();
    const file = await this.folder.read(this.path);
    if (file === null) throw new Error(`${this.path} has gone from storage.`);
    return file;
  }

  close(): void {
    this.handle.flush();
    this.handle.close();
  }
}

class StorageFullError extends Error {
  override readonly name = 'StorageFullError';
}

function isQuota(error: unknown): boolean {
  return error instanceof Error && error.name === 'QuotaExceededError';
}

/** Begins in storage and moves to memory when that is full; the caller sees one run of bytes. */
export class SpillingSink implements Sink {
  private constructor(
    private inner: Sink,
    private readonly forget: () => Promise<void>,
  ) {}

  static async open(
    folder: ModelFolder,
    path: string,
    environment: FilesEnvironment,
  ): Promise<SpillingSink> {
    const inner = await StorageSink.open(folder, path, environment);
    return new SpillingSink(inner, () => folder.delete(path));
  }

  get size(): number {
    return this.inner.size;
  }

  get inMemory(): boolean {
    return this.inner.inMemory;
  }

  async write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      await this.inner.write(bytes);
    } catch (error) {
      if (!(error instanceof StorageFullError)) throw error;
      const memory = new MemorySink();
      for await (const piece of this.inner.pieces()) {
        await memory.write(piece as Uint8Array<ArrayBuffer>);
      }
      this.inner.close();
      await this.forget();
      this.inner = memory;
      await memory.write(bytes);
    }
  }

  pieces(): AsyncIterable<Uint8Array> {
    return this.inner.pieces();
  }

  clear(): void {
    this.inner.clear();
  }

  finish(): Promise<Blob> {
    return this.inner.finish();
  }

  close(): void {
    this.inner.close();
  }
}
