/**
 * A file as a table: CSV, TSV, JSON or JSONL, read in pieces. Nothing is held but the rows, and
 * limits are checked before anything grows: a file whose size is known to be too large is refused
 * before its first byte, one of unknown size at the limit, and `take` reads just the first rows of
 * a file of any size. (A JSON file that is one object, not a list, must be held whole.)
 */
import type { ByteSource } from '../byte-source';
import { withChats } from './chat-rows';
import { checkHead, HEAD_BYTES, Utf8Decoder } from './encoding';
import { TableReader } from './table-reader';
import {
  count,
  DatasetFileError,
  DEFAULT_LIMITS,
  type Delimiter,
  type Limits,
  type Table,
} from './types';

export interface DatasetSource {
  /** Its ending decides between CSV and TSV where the content could be either. */
  name: string;
  /** Bytes, where known. */
  size: number | null;
  chunks(): AsyncIterable<Uint8Array>;
}

export interface ReadOptions {
  /**
   * Default: what a first line `sep=` says, else the one that splits the header: if several do, tab
   * for .tsv and .tab, comma for others.
   */
  delimiter?: Delimiter;
  /** CSV: whether the first row names the columns. Default: it does, unless it looks like data. */
  header?: boolean;
  /** Only the first so many rows. */
  take?: number;
  limits?: Partial<Limits>;
  /** After each piece, and at the end. */
  onProgress?: (progress: ReadProgress) => void;
}

export interface ReadProgress {
  /** Of the file, so far. */
  bytes: number;
  /** Of the whole file, where known. */
  size: number | null;
}

/** A file that can be read anywhere, in pieces of `chunkBytes`. */
export function fromByteSource(
  name: string,
  source: ByteSource,
  chunkBytes = 2 ** 18,
): DatasetSource {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let offset = 0; offset < source.size; offset += chunkBytes) {
      yield await source.read(offset, Math.min(chunkBytes, source.size - offset));
    }
  }
  return { name, size: source.size, chunks };
}

/** A stream, for example the body of a response; given up early, it is cancelled. */
export function fromStream(
  name: string,
  stream: ReadableStream<Uint8Array>,
  size: number | null = null,
): DatasetSource {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    const reader = stream.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        yield value;
      }
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }
  return { name, size, chunks };
}

/** Throws {@link DatasetFileError} for whatever is wrong with the file as a file. */
export async function readTable(source: DatasetSource, options: ReadOptions = {}): Promise<Table> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const take = options.take ?? null;
  if (take === null && source.size !== null && source.size > limits.bytes) {
    throw tooLarge(`The file has ${mebibytes(source.size)}`, limits);
  }
  const { delimiter, header, onProgress } = options;
  const reader = new TableReader(source.name, { limits, take, header, delimiter });
  const decoder = new Utf8Decoder();
  let read = 0;
  for await (const bytes of withHead(source, limits)) {
    reader.push(decoder.push(bytes));
    onProgress?.({ bytes: (read += bytes.length), size: source.size });
    if (reader.full) break;
  }
  if (!reader.full) {
    reader.push(decoder.end());
    reader.end();
  }
  return withChats(reader.table());
}

const mebibytes = (bytes: number) => `${count(Math.ceil(bytes / 2 ** 20))} MiB`;

function tooLarge(what: string, limits: Limits): DatasetFileError {
  return new DatasetFileError(
    'too-large',
    `${what}; at most ${mebibytes(limits.bytes)} are read. Take only its first rows, or split it.`,
  );
}

/** The pieces of the file, the first long enough for the checks of what the file is. */
async function* withHead(source: DatasetSource, limits: Limits): AsyncGenerator<Uint8Array> {
  let total = 0;
  let head: Uint8Array | null = new Uint8Array(0);
  const iterator = source.chunks()[Symbol.asyncIterator]();
  try {
    for (;;) {
      const { done, value } = await next(iterator);
      if (done) break;
      total += value.length;
      if (total > limits.bytes) {
        throw tooLarge(`The file has more than ${mebibytes(limits.bytes)}`, limits);
      }
      if (head === null) {
        yield value;
        continue;
      }
      const joined: Uint8Array = new Uint8Array(head.length + value.length);
      joined.set(head);
      joined.set(value, head.length);
      head = joined;
      if (head.length < HEAD_BYTES) continue;
      checkHead(head.subarray(0, HEAD_BYTES));
      yield head;
      head = null;
    }
    if (head === null) return;
    checkHead(head);
    yield head;
  } finally {
    await iterator.return?.();
  }
}

/** A read that fails (a file that is gone, a lost connection) is an error of the file, too. */
async function next(iterator: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
  try {
    return await iterator.next();
  } catch (cause) {
    if (cause instanceof DatasetFileError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DatasetFileError('read-failed', `The file could not be read: ${why}`, {}, { cause });
  }
}
