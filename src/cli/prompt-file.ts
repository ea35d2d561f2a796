/** A prompt set as a file: CSV, JSON or JSONL of a known layout, through the page's importers. */
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { type ImportedSet, MAX_SET_NAME } from '../distill/data/imported-prompts';
import { handleSource } from '../formats/byte-source';
import { allOf, importPrompts } from '../formats/datasets/import';
import type { ImportPlan } from '../formats/datasets/plan';
import type { ImportReport } from '../formats/datasets/problems';
import { fromByteSource, readTable } from '../formats/datasets/read';
import { recognise } from '../formats/datasets/recognise';
import { type Recognition, recognisedBy } from '../formats/datasets/recognition';
import {
  DatasetFileError,
  type Delimiter,
  type PromptLabel,
  quoted,
  SPOKEN,
} from '../formats/datasets/types';
import { UsageError } from './args';
import { FileError } from './node-files';

export interface PromptFileOptions {
  /** Of every prompt, or by what the label column says; null for what the file says. */
  label: PromptLabel | Record<string, PromptLabel> | null;
  /** null for what the file says. */
  delimiter?: Delimiter | null;
}

export interface PromptFile extends ImportedSet {
  layout: string;
  /** How the file was read and what of it was left out, one line each. */
  lines: string[];
}

/** Lines about rows that are shown; the last says how many there are besides. */
const SHOWN_LINES = 8;

/**
 * The prompts of a file.
 * @throws FileError; UsageError where the file is no prompt set, naming its first wrong rows
 */
export async function readPromptFile(
  path: string,
  { label, delimiter = null }: PromptFileOptions,
): Promise<PromptFile> {
  const name = basename(path);
  const handle = await open(path).catch(() => null);
  if (!handle) throw new FileError(`${path} cannot be read.`);
  try {
    const info = await handle.stat();
    if (!info.isFile()) throw new FileError(`${path} is no file.`);
    const source = fromByteSource(name, handleSource(handle, info.size));
    const table = await readTable(source, delimiter === null ? {} : { delimiter });
    if (table.rows.length === 0) allOf(null);
    const [reading] = recognise(table) as [Recognition];
    const report = importPrompts(table, withLabels(reading, label));
    const items = allOf(report);
    return {
      name: name.replace(/\.\w+$/, '').slice(0, MAX_SET_NAME) || name,
      items,
      layout: reading.title,
      lines: linesOf(reading, label, report),
    };
  } catch (error) {
    if (error instanceof DatasetFileError) throw new UsageError(`${path}: ${advice(error)}`);
    if (error instanceof UsageError) throw new UsageError(`${path}: ${error.message}`);
    throw error;
  } finally {
    await handle.close();
  }
}

/** @throws UsageError where neither the file nor `label` says which prompts are harmful */
function withLabels(
  { title, plan, labelled, usual }: Recognition,
  label: PromptFileOptions['label'],
): ImportPlan {
  if (typeof label === 'string') return { ...plan, labels: { kind: 'all', label } };
  const column = plan.mapping.label;
  if (label !== null) {
    if (column === null) {
      throw new UsageError(
        '--label says what the values of a label column mean; the file has none.',
      );
    }
    return { ...plan, labels: { kind: 'values', values: label } };
  }
  if (plan.labels !== null) return plan;
  const often = usual === null ? '' : ` (those of ${title} itself are ${usual})`;
  const values = column === null ? '' : ', or what its values mean: --label VALUE=LABEL,…';
  throw new UsageError(`${labelled} Say --label harmful, borderline or benign${often}${values}.`);
}

/** A delimiter can be said here, too. */
function advice(error: DatasetFileError): string {
  if (error.code !== 'wrong-delimiter' || !error.delimiter) return error.message;
  const [word] = SPOKEN[error.delimiter].split(' ').slice(-1);
  return error.message.replace(/Read it with .*$/, `Say --delimiter ${word!.replace(/s$/, '')}.`);
}

const titleOf = ({ title, plan }: Recognition) =>
  plan.layout === 'generic' ? title.toLowerCase() : title;

function linesOf(
  reading: Recognition,
  label: PromptFileOptions['label'],
  { items, warnings, leftOut, unusedColumns }: ImportReport,
): string[] {
  const counts = `${items.length} ${items.length === 1 ? 'prompt' : 'prompts'}`;
  const notes = warnings.first.slice(0, SHOWN_LINES).map(({ message }) => message);
  if (warnings.total > notes.length) notes.push(`And ${warnings.total - notes.length} more.`);
  return [
    `${counts}, read as ${titleOf(reading)} by ${recognisedBy(reading)}.`,
    label === null ? reading.labelled : 'Labels: as --label says.',
    ...(leftOut > 0 ? [`${leftOut} ${leftOut === 1 ? 'row was' : 'rows were'} left out.`] : []),
    ...(unusedColumns.length > 0
      ? [`Columns that are not used: ${unusedColumns.slice(0, 12).map(quoted).join(', ')}.`]
      : []),
    ...notes,
  ];
}
