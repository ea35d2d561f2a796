/** Reads prompt sets away from the page's thread, and keeps the open one. Glue only. */
import { contentHash } from '../../distill/data/dataset';
import { importPrompts } from '../../formats/datasets/import';
import { labelValues } from '../../formats/datasets/column-texts';
import { readTable } from '../../formats/datasets/read';
import { planByHand, recognise } from '../../formats/datasets/recognise';
import type { Recognition } from '../../formats/datasets/recognition';
import { DatasetFileError, type Table } from '../../formats/datasets/types';
import { describeError } from '../wire/errors';
import { type Endpoint, type Handlers, serve } from '../wire/serve';
import type { DatasetRequests, FileProblem, OpenedFile, ReadPlan } from './protocol';
import { addressSource, fileSource } from './source';

/** Prompts that a person may ask to see. */
const SHOWN = 5;
/** Milliseconds between reports of how far a file is read. */
const REPORT_EVERY = 100;

let table: Table | null = null;

function problemOf(error: unknown): FileProblem {
  if (!(error instanceof DatasetFileError)) throw error;
  const { code, message, delimiter } = error;
  return { code, message, ...(delimiter && { delimiter }) };
}

function opened(read: Table): OpenedFile {
  const { rows, emptyRows: _, ...facts } = read;
  const of = { table: { ...facts, rows: rows.length } };
  let readings: Recognition[];
  try {
    readings = recognise(read);
  } catch (error) {
    // The columns can still be said by hand.
    return { ...of, readings: [], plan: planByHand(read), problem: problemOf(error) };
  }
  return { ...of, readings, plan: readings[0]!.plan, problem: null };
}

function report({ plan, duplicateIds }: ReadPlan) {
  if (!table) throw new DatasetFileError('read-failed', 'No file is open. Choose it again.');
  return importPrompts(table, plan, { duplicateIds });
}

const handlers: Handlers<DatasetRequests> = {
  async open({ source, options }, { emit, signal }) {
    table = null;
    let last = 0;
    try {
      const from =
        'file' in source ? fileSource(source.file) : await addressSource(source.address, signal);
      table = await readTable(from, {
        ...options,
        onProgress: (progress) => {
          if (performance.now() - last < REPORT_EVERY) return;
          last = performance.now();
          emit(progress);
        },
      });
      return opened(table);
    } catch (error) {
      return { problem: problemOf(error), table: null };
    }
  },

  async read(asked) {
    const values = table ? labelValues(table, asked.plan.mapping.label) : [];
    try {
      const { items, ...rest } = report(asked);
      const facts = { ...rest, prompts: items.length, first: items.slice(0, SHOWN) };
      return { values, report: facts, problem: null };
    } catch (error) {
      return { values, report: null, problem: problemOf(error) };
    }
  },

  async take(asked) {
    const { items } = report(asked);
    return { items, hash: contentHash(items) };
  },
};

serve<DatasetRequests>(self as unknown as Endpoint, handlers, describeError);
