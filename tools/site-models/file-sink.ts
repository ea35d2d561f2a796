/** Where a download of the command line goes: one file, which a later try goes on with. */
import { ftruncateSync } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type ErrorCode, KnownError } from '../../src/formats/errors';
import type { ByteSink } from '../../src/workers/files/sink';

const PIECE = 4 * 2 ** 20;

/** The disk takes no more. What is there stays. */
export class DiskError extends KnownError {
  override readonly name = 'DiskError';
  readonly errorCode: ErrorCode = 'download';
}

export class FileSink implements ByteSink {
  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
    public size: number,
  ) {}

  static async open(path: string): Promise<FileSink> {
    await mkdir(dirname(path), { recursive: true });
    // Appending creates it and leaves what is there; writing goes by position.
    await (await open(path, 'a')).close();
    const handle = await open(path, 'r+');
    return new FileSink(path, handle, (await handle.stat()).size);
  }

  /** @throws DiskError; `size` then says how much went in */
  async write(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      for (let at = 0; at < bytes.byteLength;) {
        const left = bytes.byteLength - at;
        const { bytesWritten } = await this.handle.write(bytes, at, left, this.size);
        at += bytesWritten;
        this.size += bytesWritten;
      }
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new DiskError(`${this.path} cannot be written: ${why}`, { cause });
    }
  }

  async *pieces(): AsyncIterable<Uint8Array> {
    const piece = new Uint8Array(PIECE);
    for (let at = 0; at < this.size;) {
      const { bytesRead } = await this.handle.read(piece, 0, PIECE, at);
      if (bytesRead === 0) throw new DiskError(`${this.path} has become shorter.`);
      yield piece.subarray(0, bytesRead);
      at += bytesRead;
    }
  }

  clear(): void {
    ftruncateSync(this.handle.fd);
    this.size = 0;
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}
