/**
 * One file on its way to a prompt set: read, recognised, corrected, kept. A worker reads and holds
 * it; here is what a person sees of it.
 */
import type { LabelValue } from '../../../formats/datasets/column-texts';
import type { ImportPlan } from '../../../formats/datasets/plan';
import type { ReadOptions, ReadProgress } from '../../../formats/datasets/read';
import type { Recognition } from '../../../formats/datasets/recognition';
import type { ImportedPrompt } from '../../../formats/datasets/types';
import { createDatasetClient, WorkerError } from '../../../workers/client';
import type {
  DatasetRequests,
  FileProblem,
  ReadPlan,
  ReportFacts,
  TableFacts,
} from '../../../workers/datasets/protocol';

/** Rows that are offered where a file has too many. */
export const FIRST_ROWS = 1000;

type OpenPayload = DatasetRequests['open']['payload'];
type Options = OpenPayload['options'];

/** A problem and what would solve it. */
export interface ImportProblem {
  message: string;
  /** Ways to read the file again. */
  remedies: readonly { label: string; options: Options }[];
}

/** What the open file gives by the plan. */
interface Outcome {
  report: ReportFacts | null;
  problem: FileProblem | null;
}

export class DatasetImport {
  reading = $state(false);
  /** Of the file that is being read; null before its first piece. */
  progress = $state.raw<ReadProgress | null>(null);
  problem = $state.raw<ImportProblem | null>(null);
  table = $state.raw<TableFacts | null>(null);
  /** Every reading that fits, the likeliest first. */
  readings = $state.raw<readonly Recognition[]>([]);
  /** What the plan's label column holds. */
  values = $state.raw<readonly LabelValue[]>([]);
  /** null while the worker has not answered for the plan yet. */
  outcome = $state.raw<Outcome | null>(null);
  /** The file's name or its address. */
  source = $state('');

  #plan = $state.raw<ImportPlan | null>(null);
  #renameIds = $state(false);
  #from: OpenPayload['source'] | null = null;
  #options: Options = {};
  /** Count what was asked: answers to earlier questions come too late. */
  #reads = 0;
  #asked = 0;
  readonly #worker = createDatasetClient();

  get plan(): ImportPlan | null {
    return this.#plan;
  }

  set plan(plan: ImportPlan | null) {
    this.#plan = plan;
    void this.#apply();
  }

  /** Give ids that come again another name, instead of leaving their rows out. */
  get renameIds(): boolean {
    return this.#renameIds;
  }

  set renameIds(rename: boolean) {
    this.#renameIds = rename;
    void this.#apply();
  }

  /** The reading that the plan is of, corrected or not. */
  get recognition(): Recognition | null {
    return this.readings.find(({ plan }) => plan.layout === this.#plan?.layout) ?? null;
  }

  async readFile(file: File): Promise<void> {
    await this.#start(file.name, { file });
  }

  async readAddress(address: string): Promise<void> {
    await this.#start(address.trim(), { address });
  }

  /** The same file again, for example at another delimiter. */
  async readAgain(options: ReadOptions): Promise<void> {
    this.#options = { ...this.#options, ...options };
    await this.#read();
  }

  /** All prompts by the plan, and their hash; null where they could not be made. */
  async take(): Promise<{ items: ImportedPrompt[]; hash: string } | null> {
    const asked = this.#question();
    if (!asked) return null;
    try {
      return await this.#worker.request('take', asked);
    } catch (error) {
      this.#fail(error);
      return null;
    }
  }

  /** Stops reading, or forgets what was read. */
  reset(): void {
    this.#reads++;
    this.#asked++;
    this.#worker.terminate();
    this.#from = null;
    this.#clear();
    this.reading = false;
    this.source = '';
  }

  #clear(): void {
    this.#asked++;
    this.progress = null;
    this.problem = null;
    this.table = null;
    this.readings = [];
    this.values = [];
    this.outcome = null;
    this.#plan = null;
    this.#renameIds = false;
  }

  async #start(source: string, from: OpenPayload['source']): Promise<void> {
    this.source = source;
    this.#from = from;
    this.#options = {};
    await this.#read();
  }

  async #read(): Promise<void> {
    if (!this.#from) return;
    // A worker in the middle of another file is not waited for.
    if (this.reading) this.#worker.terminate();
    const current = ++this.#reads;
    this.#clear();
    this.reading = true;
    try {
      const payload = { source: this.#from, options: this.#options };
      const onEvent = (progress: ReadProgress) => {
        if (current === this.#reads) this.progress = progress;
      };
      const opened = await this.#worker.request('open', payload, { onEvent });
      if (current !== this.#reads) return;
      if (opened.problem) this.problem = withRemedies(opened.problem);
      if (opened.table) {
        this.table = opened.table;
        this.readings = opened.readings;
        this.plan = opened.plan;
      }
    } catch (error) {
      if (current === this.#reads) this.#fail(error);
    } finally {
      if (current === this.#reads) this.reading = false;
    }
  }

  #question(): ReadPlan | null {
    const duplicateIds = this.#renameIds ? 'rename' : 'refuse';
    return this.#plan && { plan: this.#plan, duplicateIds };
  }

  async #apply(): Promise<void> {
    const question = this.#question();
    const asked = ++this.#asked;
    // Prompts by another plan are not this one's.
    this.outcome = null;
    if (!question || !this.table) return;
    try {
      const { values, ...outcome } = await this.#worker.request('read', question);
      if (asked !== this.#asked) return;
      this.values = values;
      this.outcome = outcome;
    } catch (error) {
      if (asked === this.#asked) this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (!(error instanceof WorkerError)) throw error;
    if (error.code === 'cancelled') return;
    this.#clear();
    this.problem = { message: error.message, remedies: [] };
  }
}

function withRemedies({ code, message, delimiter }: FileProblem): ImportProblem {
  const rows = `Read its first ${FIRST_ROWS.toLocaleString('en-US')} rows`;
  switch (code) {
    case 'wrong-delimiter':
      return {
        message,
        remedies: delimiter ? [{ label: 'Read it so', options: { delimiter } }] : [],
      };
    case 'missing-header':
      return {
        message,
        remedies: [
          { label: 'It has no header', options: { header: false } },
          { label: 'These are names', options: { header: true } },
        ],
      };
    case 'too-large':
    case 'too-many-rows':
    case 'too-many-values':
      return { message, remedies: [{ label: rows, options: { take: FIRST_ROWS } }] };
    default:
      return { message, remedies: [] };
  }
}
