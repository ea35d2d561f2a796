/**
 * What a sweep has finished, as one JSON document that a page can open and a later run can go on
 * from:
 *
 *   {
 *     "format": "retort-sweep", "version": 1,
 *     "spec": { … },                 the specification, see sweep.ts
 *     "base": "9f0c22ab",            hash of what all cells share
 *     "cells": [{ "id": "soft-prompt16_tv_prompt_b0_s0", "status": "finished", "seconds": 212.4,
 *                 "finishedAt": "2026-01-31T12:00:00.000Z", "result": { … } },
 *               { …, "status": "failed", "error": "…", "result": null }]
 *   }
 *
 * Answers may be packed, see sweep-pack.ts. `references` may hold evaluations of systems that no cell
 * changes, once for all of them. Results of cells that the specification no longer has are
 * kept. Pure: no reading, no writing.
 */
import { OBJECTIVES } from '../objectives/catalogue';
import {
  checkNumber,
  fieldsOf,
  FINITE,
  listField,
  SpecError,
  textField,
} from '../data/spec-fields';
import {
  answerSource,
  readEvaluations,
  readPromptLists,
  type AnswerSource,
  type ReadEvaluation,
} from '../evaluation/read-evaluation';
import { baseHash, parseSweep, planSweep, type SweepCell, type SweepSpec } from './sweep';

export interface CellResult<R> {
  id: string;
  status: 'finished' | 'failed';
  seconds: number;
  /** ISO 8601. */
  finishedAt: string;
  /** Null where it failed. */
  result: R | null;
  /** Why it failed. */
  error?: string;
}

export interface SweepResults<R> {
  format: 'retort-sweep';
  version: 1;
  spec: SweepSpec;
  base: string;
  /** At most one for each id, in the order in which they came. */
  cells: CellResult<R>[];
  /** Evaluations of systems that no cell changes, where they stand beside the cells. */
  references?: ReadEvaluation[];
}

/** Texts of reasons are for people; the longest are compilers'. */
export const MAX_REASON = 10_000;
const MAX_ID = 1000;

export function emptyResults<R>(spec: SweepSpec): SweepResults<R> {
  return { format: 'retort-sweep', version: 1, spec, base: baseHash(spec), cells: [] };
}

/** The results with one more cell; it takes the place of an earlier one of its id. */
export function withCell<R>(results: SweepResults<R>, cell: CellResult<R>): SweepResults<R> {
  return { ...results, cells: [...results.cells.filter(({ id }) => id !== cell.id), cell] };
}

/** Cells still to run, in order; `retry` runs failed ones again. */
export function remainingCells<R>(
  results: SweepResults<R>,
  options: { retry?: boolean } = {},
): SweepCell[] {
  const done = new Set(
    results.cells
      .filter(({ status }) => status === 'finished' || !options.retry)
      .map(({ id }) => id),
  );
  return planSweep(results.spec).cells.filter(({ id }) => !done.has(id));
}

/**
 * Joins results of one base, e.g. of two machines or of a grown specification; `spec` decides what
 * is planned. A finished cell wins over a failed one, else the earlier one wins.
 * @throws SpecError where a document has another base
 */
export function mergeResults<R>(
  spec: SweepSpec,
  documents: readonly SweepResults<R>[],
): SweepResults<R> {
  const merged = emptyResults<R>(spec);
  const cells = new Map<string, CellResult<R>>();
  for (const [i, document] of documents.entries()) {
    if (document.base !== merged.base) {
      throw new SpecError(
        `documents[${i}].base`,
        `These results belong to another recipe (${document.base}, not ${merged.base}).`,
      );
    }
    for (const cell of document.cells) {
      const known = cells.get(cell.id);
      if (!known || (known.status === 'failed' && cell.status === 'finished')) {
        cells.set(cell.id, cell);
      }
    }
  }
  const references = documents.find((document) => document.references)?.references;
  return { ...merged, cells: [...cells.values()], ...(references && { references }) };
}

/**
 * Seconds that the remaining cells will take, from what the likest ones took: in objective first,
 * then in whether the student's own answers are sampled, then in adapter. Null before one is finished.
 * @param running the cell in work and the seconds it has taken
 */
export function secondsLeft<R>(
  results: SweepResults<R>,
  running?: { id: string; seconds: number },
): number | null {
  const planned = new Map(planSweep(results.spec).cells.map((cell) => [cell.id, cell]));
  const known = results.cells.flatMap(({ id, status, seconds }) => {
    const cell = planned.get(id);
    return cell && status === 'finished' ? [{ cell, seconds }] : [];
  });
  if (known.length === 0) return null;
  const source = ({ objective }: SweepCell) =>
    objective && OBJECTIVES[objective.name].needs.answers;
  const likeness = (a: SweepCell, b: SweepCell) =>
    4 * Number(a.objective?.name === b.objective?.name) +
    2 * Number(source(a) === source(b)) +
    Number(a.adapter.kind === b.adapter.kind);
  const expected = (cell: SweepCell) => {
    const best = Math.max(...known.map((other) => likeness(cell, other.cell)));
    const alike = known.filter((other) => likeness(cell, other.cell) === best);
    return alike.reduce((sum, { seconds }) => sum + seconds, 0) / alike.length;
  };
  return remainingCells(results).reduce((sum, cell) => {
    const spent = running?.id === cell.id ? running.seconds : 0;
    return sum + Math.max(0, expected(cell) - spent);
  }, 0);
}

/** Reads one cell's result; packed answers are in `source`. */
export type ReadResult<R> = (result: unknown, path: string, source: AnswerSource) => R;

/**
 * Checks a document that comes from a file or a store.
 * @param readResult its errors are passed on
 * @throws SpecError, which names the field
 */
export function parseResults<R>(value: unknown, readResult: ReadResult<R>): SweepResults<R> {
  const fields = fieldsOf(value, 'results');
  if (fields.format !== 'retort-sweep' || fields.version !== 1) {
    throw new SpecError('format', 'This is not a document of sweep results of version 1.');
  }
  const spec = parseSweep(fields.spec);
  const base = baseHash(spec);
  if (fields.base !== base) {
    throw new SpecError('base', 'The results do not belong to the specification beside them.');
  }
  const source = answerSource(readPromptLists(fields.prompts ?? [], 'prompts'));
  const cells = listField(fields.cells, 'cells', { min: 0, max: 100_000 }, (entry, path) =>
    parseCell(entry, path, (result, at) => readResult(result, at, source)),
  );
  const seen = new Set<string>();
  for (const [i, { id }] of cells.entries()) {
    if (seen.has(id)) throw new SpecError(`cells[${i}].id`, `Two cells are ${id}.`);
    seen.add(id);
  }
  const { references } = fields;
  return {
    format: 'retort-sweep',
    version: 1,
    spec,
    base,
    cells,
    ...(references !== undefined && {
      references: readEvaluations(references, 'references', source),
    }),
  };
}

function parseCell<R>(
  value: unknown,
  path: string,
  readResult: (result: unknown, path: string) => R,
): CellResult<R> {
  const fields = fieldsOf(value, path);
  const { status, finishedAt, error } = fields;
  const wrong = (field: string, what: string) =>
    new SpecError(`${path}.${field}`, `${path}.${field} must be ${what}.`);
  const id = textField(fields.id, `${path}.id`, { min: 1, max: MAX_ID });
  if (status !== 'finished' && status !== 'failed') throw wrong('status', 'finished or failed');
  const seconds = checkNumber(fields.seconds, { ...FINITE, min: 0 }, `${path}.seconds`);
  if (typeof finishedAt !== 'string' || Number.isNaN(Date.parse(finishedAt))) {
    throw wrong('finishedAt', 'a date');
  }
  if (error !== undefined && (typeof error !== 'string' || error.length > MAX_REASON)) {
    throw wrong('error', `a text of at most ${MAX_REASON} characters`);
  }
  const result = status === 'finished' ? readResult(fields.result, `${path}.result`) : null;
  return { id, status, seconds, finishedAt, result, ...(error === undefined ? {} : { error }) };
}
