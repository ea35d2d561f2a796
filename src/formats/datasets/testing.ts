/** What the tests of the importers share. */
import { memorySource } from '../byte-source';
import { importAll, type ImportOptions, importPrompts } from './import';
import { fromByteSource, type ReadOptions, readTable } from './read';
import { recognise } from './recognise';
import { DatasetFileError, type ImportedPrompt, type PromptLabel, type Table } from './types';

const encode = (content: string | Uint8Array) =>
  typeof content === 'string' ? new TextEncoder().encode(content) : content;

/** `content` read in pieces of `chunkBytes`. */
export function read(
  name: string,
  content: string | Uint8Array,
  options: ReadOptions = {},
  chunkBytes = 7,
): Promise<Table> {
  return readTable(fromByteSource(name, memorySource(encode(content)), chunkBytes), options);
}

/** The whole way, with the likeliest reading; `label` is what a person says where they are asked. */
export async function load(
  name: string,
  content: string | Uint8Array,
  { label, ...options }: ReadOptions & ImportOptions & { label?: PromptLabel } = {},
): Promise<{ layout: string; items: ImportedPrompt[] }> {
  const table = await read(name, content, options, 4096);
  const { plan } = recognise(table)[0]!;
  const labels = label === undefined ? plan.labels : ({ kind: 'all', label } as const);
  return { layout: plan.layout, items: importAll(table, { ...plan, labels }, options) };
}

/** The likeliest reading: its labels by row, or null and why a person is asked. */
export async function taken(text: string, name = 'set.csv') {
  const table = await read(name, text, {}, 4096);
  const [best] = recognise(table);
  const { plan, labelled } = best!;
  if (plan.labels === null) return { layout: plan.layout, labels: null, why: labelled };
  const { items } = importPrompts(table, plan);
  const labels: PromptLabel[] | null = items.map(({ label }) => label);
  return { layout: plan.layout, labels, why: labelled };
}

/** The error of the file that `work` ends with; fails where it does not. */
export async function failure(work: Promise<unknown> | (() => unknown)): Promise<DatasetFileError> {
  try {
    await (typeof work === 'function' ? work() : work);
  } catch (error) {
    if (error instanceof DatasetFileError) return error;
    throw error;
  }
  throw new Error('It was accepted.');
}
