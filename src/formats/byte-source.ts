import { KnownError } from './errors';

/** Random reads from a file, wherever it lies: memory, a browser Blob, an open Node file. */
export interface ByteSource {
  /** Bytes in the file. */
  readonly size: number;
  /** Exactly `length` bytes from `offset`; the caller stays within `size`. May be a view. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A read that the file could not satisfy. */
export class ByteSourceError extends KnownError {
  override readonly name = 'ByteSourceError';
  readonly errorCode = 'download';
}

function assertRange(size: number, offset: number, length: number): void {
  const sane = Number.isSafeInteger(offset) && Number.isSafeInteger(length);
  if (!sane || offset < 0 || length < 0 || offset + length > size) {
    throw new ByteSourceError(
      `The file ends too early: ${length} bytes at ${offset} were asked for, it has ${size}.`,
    );
  }
}

/** Reads are views into `bytes`: no copies. */
export function memorySource(bytes: Uint8Array): ByteSource {
  return {
    size: bytes.byteLength,
    async read(offset, length) {
      assertRange(bytes.byteLength, offset, length);
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** A Blob or File, for example out of the Cache API or OPFS: only what is read is loaded. */
export function blobSource(blob: Blob): ByteSource {
  return {
    size: blob.size,
    async read(offset, length) {
      assertRange(blob.size, offset, length);
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    },
  };
}

/** What this needs of a Node `FileHandle`, so that browsers can load this module. */
export interface ReadableHandle {
  read(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesRead: number }>;
}

/** An open Node file of `size` bytes. The caller closes the handle. */
export function handleSource(handle: ReadableHandle, size: number): ByteSource {
  return {
    size,
    async read(offset, length) {
      assertRange(size, offset, length);
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0) assertRange(offset + done, offset, length);
        done += bytesRead;
      }
      return bytes;
    },
  };
}
