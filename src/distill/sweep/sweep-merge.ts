/** Joins the documents of one sweep that was run in parts, e.g. on several machines. */
import { adapterKey } from '../adapters/adapter-spec';
import { guardCaseKey } from '../target/guard-case';
import { objectiveKey } from '../objectives/spec';
import { sameRecipe } from '../train/recipe';
import { SpecError } from '../data/spec-fields';
import { cellRecipe, parseSweep, planSweep, type SweepSpec } from './sweep';
import { mergeResults } from './sweep-results';
import type { CellOutcome, SweepDocument } from './outcome';
import { REFERENCES, sameReference, type ReferenceName } from './references';
import type { SystemName } from '../types';

export interface MergedSweep {
  document: SweepDocument;
  /** Finished cells that the merged specification would train with another recipe. */
  otherwise: string[];
  /** Planned cells without a result. */
  open: number;
}

/**
 * @param names of the documents, for errors
 * @param given what is planned; without it, every axis has all that the documents' axes have
 * @throws SpecError where the documents are not of one base
 */
export function mergeSweeps(
  documents: readonly SweepDocument[],
  names: readonly string[],
  given?: SweepSpec,
): MergedSweep {
  const [first, ...others] = documents;
  if (!first) throw new SpecError('documents', 'There is nothing to merge.');
  for (const [i, { base }] of others.entries()) {
    if (base !== first.base) {
      throw new SpecError(
        `documents[${i + 1}].base`,
        `${names[i + 1]} has another base than ${names[0]} (${base}, not ${first.base}): ` +
          'what their cells share, the sets or the limit differ.',
      );
    }
  }
  const spec = given ?? unionOf(documents.map((document) => document.spec));
  const joined = mergeResults(spec, documents);
  const planned = new Map(planSweep(spec).cells.map((cell) => [cell.id, cell]));
  const order = new Map([...planned.keys()].map((id, i) => [id, i]));
  const place = ({ id }: { id: string }) => order.get(id) ?? order.size;
  const cells = referencesOnce([...joined.cells].sort((a, b) => place(a) - place(b)));
  const otherwise = cells.filter(({ id, result }) => {
    const cell = planned.get(id);
    return cell && result && !sameRecipe(result.recipe, cellRecipe(spec, cell));
  });
  const there = new Set(cells.map(({ id }) => id));
  return {
    document: { ...joined, cells },
    otherwise: otherwise.map(({ id }) => id),
    open: [...planned.keys()].filter((id) => !there.has(id)).length,
  };
}

/** The first one's name and base with every document's axes. */
function unionOf(specs: readonly SweepSpec[]): SweepSpec {
  const all = <T>(axis: (spec: SweepSpec) => readonly T[], key: (item: T) => string): T[] => {
    const items = new Map<string, T>();
    for (const item of specs.flatMap(axis)) if (!items.has(key(item))) items.set(key(item), item);
    return [...items.values()];
  };
  return parseSweep({
    ...specs[0]!,
    adapters: all((spec) => spec.adapters, adapterKey),
    objectives: all((spec) => spec.objectives, objectiveKey),
    guardCases: all((spec) => spec.guardCases, guardCaseKey),
    strictness: all((spec) => spec.strictness, String),
    seeds: all((spec) => spec.seeds, String),
    tuned: all((spec) => spec.tuned, JSON.stringify),
  });
}

/** Each part measured the systems that no cell changes; the first cell's are kept. */
function referencesOnce(cells: SweepDocument['cells']): SweepDocument['cells'] {
  const seen: { name: ReferenceName; outcome: CellOutcome }[] = [];
  return cells.map((cell) => {
    const { result } = cell;
    if (!result) return cell;
    const known = (name: ReferenceName) =>
      seen.some(
        (one) => one.name === name && sameReference(name, one.outcome.recipe, result.recipe),
      );
    const dropped = REFERENCES.filter(known);
    for (const name of REFERENCES) {
      const whole = result.evaluations.every(({ systems }) => systems[name]);
      if (whole && !known(name)) seen.push({ name, outcome: result });
    }
    return dropped.length === 0 ? cell : { ...cell, result: without(result, dropped) };
  });
}

function without(outcome: CellOutcome, names: readonly SystemName[]): CellOutcome {
  const evaluations = outcome.evaluations.map(({ systems, expectedRefusal, ...evaluation }) => {
    const kept = Object.entries(systems).filter(([name]) => !names.includes(name as SystemName));
    // How likely the teacher refuses stands beside the guarded system.
    const stays = expectedRefusal && !names.includes('guarded');
    return {
      ...evaluation,
      systems: Object.fromEntries(kept),
      ...(stays && { expectedRefusal }),
    };
  });
  return { ...outcome, evaluations };
}
