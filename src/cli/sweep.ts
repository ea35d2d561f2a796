/**
 * `--sweep`: all cells in one process, the results rewritten whole after each, so that a kill at any
 * point costs the cell in work and nothing else. The same command goes on where it was left.
 */
import type { SystemAnswers } from '../distill/evaluation/evaluate';
import type { ExtraOptions } from '../distill/evaluation/extras';
import type { RunDeps, RunHooks } from '../distill/train/run';
import { SpecError } from '../distill/data/spec-fields';
import { parseSweep, type SweepSpec } from '../distill/sweep/sweep';
import { emptyResults, mergeResults, parseResults } from '../distill/sweep/sweep-results';
import { mergeSweeps } from '../distill/sweep/sweep-merge';
import { packDocument } from '../distill/sweep/sweep-pack';
import { parseOutcome, type SweepDocument } from '../distill/sweep/outcome';
import { runSweep } from '../distill/sweep/sweep-run';
import { isBroken } from '../formats/errors';
import { UsageError } from './args';
import { FileCache, writeWhole } from './file-cache';
import { exists, jsonOf } from './node-files';

export interface SweepFiles {
  spec: SweepSpec;
  /** What was finished before, or nothing. */
  results: SweepDocument;
  path: string;
}

/** @throws UsageError where a file is no specification or no results of it; FileError */
export async function openSweep(specPath: string, path: string): Promise<SweepFiles> {
  const spec = checked(specPath, await jsonOf(specPath), parseSweep);
  // A file that is there and cannot be read must not be written over.
  const kept = (await exists(path)) ? await jsonOf(path) : null;
  if (kept === null) return { spec, results: emptyResults(spec), path };
  const results = checked(path, kept, (value) => {
    const before = parseResults(value, parseOutcome);
    // Axes may have grown since.
    return mergeResults(spec, [before]);
  });
  return { spec, results, path };
}

/** What `--merge` joins. */
export interface MergeFiles {
  documents: readonly string[];
  /** The specification of the whole; null: every axis has what the parts' axes have. */
  spec: string | null;
  results: string;
}

/** @throws UsageError where a document is none, or belongs to another base; FileError */
export async function mergeFiles(
  { documents, spec: specPath, results }: MergeFiles,
  compact: boolean,
  say: (line: string) => void,
): Promise<void> {
  const spec = specPath === null ? null : checked(specPath, await jsonOf(specPath), parseSweep);
  const parts: SweepDocument[] = [];
  for (const path of documents) {
    parts.push(checked(path, await jsonOf(path), (value) => parseResults(value, parseOutcome)));
  }
  const { document, otherwise, open } = checked('--merge', parts, () =>
    mergeSweeps(parts, documents, spec ?? undefined),
  );
  await writeWhole(results, `${JSON.stringify(compact ? packDocument(document) : document)}\n`);
  for (const id of otherwise) {
    say(`${id} was trained with another recipe than the merged specification's for it.`);
  }
  const failed = document.cells.filter(({ status }) => status === 'failed').length;
  const finished = document.cells.length - failed;
  say(`${finished} cells finished, ${failed} failed, ${open} open: ${results}`);
}

function checked<T>(path: string, value: unknown, read: (value: unknown) => T): T {
  try {
    return read(value);
  } catch (error) {
    if (error instanceof SpecError) throw new UsageError(`${path}: ${error.message}`);
    throw error;
  }
}

/** Prepared data and reference answers, in memory and beside the results. */
export function withCache(deps: RunDeps, path: string): RunDeps {
  const cache = new FileCache(`${path}.cache`);
  return {
    ...deps,
    prepared: [(name) => cache.get(name), ...(deps.prepared ?? [])],
    savePrepared: (name, data) => cache.put(name, data),
    references: {
      get: async (key) => (await cache.get(key)) as SystemAnswers | undefined,
      put: (key, answers) => cache.put(key, answers),
    },
  };
}

export interface SweepSettings {
  retry: boolean;
  answers: boolean;
  probeEvery: number;
  extras?: ExtraOptions;
}

/** @throws the signal's reason when aborted; a broken device, which no later cell would survive */
export function sweep(
  { results, path }: SweepFiles,
  deps: RunDeps,
  settings: SweepSettings,
  hooks: Pick<RunHooks, 'signal' | 'onStep' | 'onProgress'>,
  say: (line: string) => void,
): Promise<SweepDocument> {
  return runSweep(
    results,
    withCache(deps, path),
    {
      ...hooks,
      save: (document) => writeWhole(path, `${JSON.stringify(document)}\n`),
      onCell: ({ id }, { index, total, secondsLeft }) => {
        const left = secondsLeft === null ? '' : `, about ${duration(secondsLeft)} left`;
        say(`cell ${index + 1}/${total}: ${id}${left}`);
      },
      onOutcome: (document, id) => {
        const { status, seconds, error } = document.cells.find((cell) => cell.id === id)!;
        say(`${status} after ${duration(seconds)}${error ? `: ${error}` : ''}`);
      },
    },
    { ...settings, isFatal: isBroken },
  );
}

function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60);
  if (minutes < 2) return `${Math.round(seconds)} s`;
  return minutes < 120 ? `${minutes} min` : `${(seconds / 3600).toFixed(1)} h`;
}
