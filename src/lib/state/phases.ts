/** Folds a stream of progress events of several workers into the short list that people see. */
import type { Progress, WorkerRole } from '../../workers/wire/protocol';

/** Where a phase runs. */
export type Source = Exclude<WorkerRole, 'datasets'>;

export interface PhaseRow {
  key: string;
  source: Source;
  progress: Progress;
  state: 'running' | 'done';
}

const SOURCE_WORDS: Record<WorkerRole, string> = {
  trainer: 'engine',
  student: 'runtime',
  guard: 'guard',
  judge: 'judge',
  datasets: 'reader of prompt sets',
};

export function sourceWord(source: WorkerRole): string {
  return SOURCE_WORDS[source];
}

/**
 * A worker is in one phase at a time: an event of a new phase finishes the worker's older ones,
 * and `ready` finishes all of them without a row of its own.
 */
export function foldPhase(
  rows: readonly PhaseRow[],
  source: Source,
  progress: Progress,
): PhaseRow[] {
  const key = `${source}:${progress.phase}`;
  const next = rows.map((row) =>
    row.source === source && row.key !== key ? { ...row, state: 'done' as const } : row,
  );
  if (progress.phase === 'ready') return next.map((row) => finish(row, source));
  const complete = progress.total > 0 && progress.done >= progress.total;
  const row: PhaseRow = { key, source, progress, state: complete ? 'done' : 'running' };
  const at = next.findIndex((r) => r.key === key);
  if (at < 0) return [...next, row];
  next[at] = row;
  return next;
}

/** Marks everything of one worker as done, when its request has resolved. */
export function finishPhases(rows: readonly PhaseRow[], source: Source): PhaseRow[] {
  return rows.map((row) => finish(row, source));
}

function finish(row: PhaseRow, source: Source): PhaseRow {
  return row.source === source ? { ...row, state: 'done' } : row;
}

/** Share done of a row, 0 to 1, or null where the total is unknown. */
export function shareDone({ progress, state }: PhaseRow): number | null {
  if (state === 'done') return 1;
  return progress.total > 0 ? Math.min(1, progress.done / progress.total) : null;
}
