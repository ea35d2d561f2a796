/** Things that can be made again, as files of one folder: prepared data and reference answers. */
import { createHash } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { optionalJson } from './node-files';

/** Whoever reads `path` finds the old text or the new one, never a part. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const beside = `${path}.${process.pid}.part`;
  await writeFile(beside, text, { flush: true });
  await rename(beside, path);
}

export class FileCache {
  private readonly known = new Map<string, unknown>();

  constructor(private readonly folder: string) {}

  async get(key: string): Promise<unknown> {
    if (this.known.has(key)) return this.known.get(key);
    const kept = (await optionalJson(this.path(key))) as { key?: unknown; value?: unknown } | null;
    if (kept?.key !== key) return undefined;
    this.known.set(key, kept.value);
    return kept.value;
  }

  async put(key: string, value: unknown): Promise<void> {
    this.known.set(key, value);
    const path = this.path(key);
    await mkdir(dirname(path), { recursive: true });
    await writeWhole(path, `${JSON.stringify({ key, value })}\n`);
  }

  private path(key: string): string {
    const name = createHash('sha256').update(key).digest('hex').slice(0, 24);
    return join(this.folder, `${name}.json`);
  }
}
