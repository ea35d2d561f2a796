import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  blobSource,
  type ByteSource,
  ByteSourceError,
  handleSource,
  memorySource,
} from './byte-source';

const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
let folder: string;
let close: () => Promise<void>;
const sources = new Map<string, ByteSource>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bytes-'));
  const path = join(folder, 'file');
  await writeFile(path, bytes);
  const handle = await open(path);
  close = () => handle.close();
  sources.set('memory', memorySource(bytes));
  sources.set('a Blob', blobSource(new Blob([bytes])));
  sources.set('a file', handleSource(handle, bytes.length));
  // One byte at a time, as a pipe or a network file may answer.
  const slow = {
    read: (buffer: Uint8Array, offset: number, length: number, position: number) =>
      handle.read(buffer, offset, Math.min(1, length), position),
  };
  sources.set('a slow file', handleSource(slow, bytes.length));
  sources.set('a file that shrank', handleSource(handle, bytes.length + 10));
});

afterAll(async () => {
  await close();
  await rm(folder, { recursive: true });
});

describe.each(['memory', 'a Blob', 'a file', 'a slow file'])('%s', (name) => {
  it('gives exactly the bytes that were asked for', async () => {
    const source = sources.get(name)!;
    expect(source.size).toBe(100);
    expect([...(await source.read(40, 3))]).toEqual([40, 41, 42]);
    expect([...(await source.read(99, 1))]).toEqual([99]);
    expect([...(await source.read(100, 0))]).toEqual([]);
  });

  it.each([
    [98, 3],
    [-1, 2],
    [0, 101],
    [0.5, 1],
    [0, -1],
    [2 ** 53, 1],
  ])('refuses %d + %d', async (offset, length) => {
    await expect(sources.get(name)!.read(offset, length)).rejects.toThrow(ByteSourceError);
  });
});

it('a file that shrank is an error, not zeros', async () => {
  await expect(sources.get('a file that shrank')!.read(95, 10)).rejects.toThrow(ByteSourceError);
});
