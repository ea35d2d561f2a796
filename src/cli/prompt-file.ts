/** A prompt set as a file: CSV, JSON or JSONL of a known layout, through the page's importers. */
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { type ImportedSet, MAX_SET_NAME } from '../distill/data/imported-prompts';
import { handleSource } from '../formats/byte-source';
import { importAll } from '../formats/datasets/import';
import { fromByteSource, readTable } from '../formats/datasets/read';
import { recognise } from '../formats/datasets/recognise';
import { DatasetFileError, type PromptLabel } from '../formats/datasets/types';
import { UsageError } from './args';
import { FileError } from './node-files';

/**
 * @param label of every prompt; null for what the file says
 * @throws FileError; UsageError where the file is no prompt set, naming its first wrong rows
 */
export async function readPromptFile(
  path: string,
  label: PromptLabel | null,
): Promise<ImportedSet & { layout: string }> {
  const name = basename(path);
  const handle = await open(path).catch(() => null);
  if (!handle) throw new FileError(`${path} cannot be read.`);
  try {
    const info = await handle.stat();
    if (!info.isFile()) throw new FileError(`${path} is no file.`);
    const table = await readTable(fromByteSource(name, handleSource(handle, info.size)));
    const [{ plan, title }] = recognise(table) as [ReturnType<typeof recognise>[0]];
    const labels = label === null ? plan.labels : ({ kind: 'all', label } as const);
    if (labels === null) {
      throw new UsageError(
        `${path}: nothing in the file says which prompts are harmful; say --label harmful, ` +
          'borderline or benign.',
      );
    }
    const items = importAll(table, { ...plan, labels });
    return {
      name: name.replace(/\.\w+$/, '').slice(0, MAX_SET_NAME) || name,
      items,
      layout: title,
    };
  } catch (error) {
    if (error instanceof DatasetFileError) throw new UsageError(`${path}: ${error.message}`);
    throw error;
  } finally {
    await handle.close();
  }
}
