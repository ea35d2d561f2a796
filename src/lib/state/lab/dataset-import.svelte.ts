/** One file on its way to a prompt set: read, recognised, corrected, kept. */
import { importPrompts } from '../../../formats/datasets/import';
import type { ImportPlan } from '../../../formats/datasets/plan';
import type { ImportReport } from '../../../formats/datasets/problems';
import { type DatasetSource, type ReadOptions, readTable } from '../../../formats/datasets/read';
import { planByHand, type Recognition, recognise } from '../../../formats/datasets/recognise';
import { DatasetFileError, type Table } from '../../../formats/datasets/types';
import { addressSource, fileSource } from './dataset-source';

/** Rows that are offered where a file has too many. */
export const FIRST_ROWS = 1000;

/** A problem and what would solve it. */
export interface ImportProblem {
  message: string;
  /** Ways to read the file again. */
  remedies: readonly { label: string; options: ReadOptions }[];
}

type Opened = { report: ImportReport; problem: null } | { report: null; problem: string };

export class DatasetImport {
  reading = $state(false);
  problem = $state.raw<ImportProblem | null>(null);
  table = $state.raw<Table | null>(null);
  /** Every reading that fits the columns, the likeliest first. */
  readings = $state.raw<Recognition[]>([]);
  plan = $state.raw<ImportPlan | null>(null);
  /** Give ids that come again another name, instead of leaving their rows out. */
  renameIds = $state(false);
  /** The file's name or its address. */
  source = $state('');

  readonly opened = $derived.by((): Opened | null => {
    if (!this.table || !this.plan) return null;
    try {
      const duplicateIds = this.renameIds ? 'rename' : 'refuse';
      return {
        report: importPrompts(this.table, this.plan, { duplicateIds }),
        problem: null,
      };
    } catch (error) {
      if (error instanceof DatasetFileError) return { report: null, problem: error.message };
      throw error;
    }
  });

  #open: ((signal: AbortSignal) => Promise<DatasetSource>) | null = null;
  #abort: AbortController | null = null;
  #options: ReadOptions = {};

  async readFile(file: File): Promise<void> {
    await this.#start(file.name, () => Promise.resolve(fileSource(file)));
  }

  async readAddress(address: string): Promise<void> {
    await this.#start(address.trim(), (signal) => addressSource(address, signal));
  }

  /** The same file again, for example at another delimiter. */
  async readAgain(options: ReadOptions): Promise<void> {
    this.#options = { ...this.#options, ...options };
    await this.#read();
  }

  reset(): void {
    this.#abort?.abort();
    this.#open = null;
    this.#clear();
    this.reading = false;
    this.source = '';
  }

  #clear(): void {
    this.problem = null;
    this.table = null;
    this.readings = [];
    this.plan = null;
    this.renameIds = false;
  }

  async #start(
    source: string,
    open: (signal: AbortSignal) => Promise<DatasetSource>,
  ): Promise<void> {
    this.source = source;
    this.#open = open;
    this.#options = {};
    await this.#read();
  }

  async #read(): Promise<void> {
    if (!this.#open) return;
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    this.#clear();
    this.reading = true;
    try {
      const table = await readTable(await this.#open(abort.signal), this.#options);
      if (abort.signal.aborted) return;
      this.#show(table);
    } catch (error) {
      if (abort.signal.aborted) return;
      if (!(error instanceof DatasetFileError)) throw error;
      this.problem = { message: error.message, remedies: remediesFor(error) };
    } finally {
      if (!abort.signal.aborted) this.reading = false;
    }
  }

  #show(table: Table): void {
    this.table = table;
    try {
      this.readings = recognise(table);
      this.plan = this.readings[0]!.plan;
    } catch (error) {
      if (!(error instanceof DatasetFileError)) throw error;
      // The columns can still be said by hand.
      this.problem = { message: error.message, remedies: [] };
      this.plan = planByHand(table);
    }
  }
}

function remediesFor(error: DatasetFileError): ImportProblem['remedies'] {
  const rows = `Read its first ${FIRST_ROWS.toLocaleString('en-US')} rows`;
  switch (error.code) {
    case 'wrong-delimiter':
      return error.delimiter
        ? [{ label: 'Read it so', options: { delimiter: error.delimiter } }]
        : [];
    case 'missing-header':
      return [
        { label: 'It has no header', options: { header: false } },
        { label: 'These are names', options: { header: true } },
      ];
    case 'too-large':
    case 'too-many-rows':
      return [{ label: rows, options: { take: FIRST_ROWS } }];
    default:
      return [];
  }
}
