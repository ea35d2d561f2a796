/** From sweep documents to the systems that are compared: references, and one group of seeds each. */
import { isTrained } from '../../src/distill/adapters/adapter-spec';
import type { GuardCase } from '../../src/distill/target/guard-case';
import { OBJECTIVES } from '../../src/distill/objectives/catalogue';
import { OBJECTIVE_NAMES } from '../../src/distill/objectives/spec';
import { DEFAULT_RECIPE } from '../../src/distill/train/recipe';
import { REFERENCES, referenceKey } from '../../src/distill/sweep/references';
import { planSweep } from '../../src/distill/sweep/sweep';
import { parseResults } from '../../src/distill/sweep/sweep-results';
import {
  parseOutcome,
  type CellOutcome,
  type SweepDocument,
} from '../../src/distill/sweep/outcome';
import type { Verdicts } from '../../src/distill/evaluation/compare-runs';
import type { Recipe, SystemName } from '../../src/distill/types';
import { sourceTitle } from '../../src/formats/source-text';
import {
  adapterName,
  facetsOfRecipe,
  guardCaseName,
  objectiveName,
  strictnessName,
  type Facets,
} from '../../src/lib/charts/facets';
import { openSweep } from '../../src/lib/charts/sweep-document';
import { experimentKey } from '../../src/lib/charts/tradeoff';

export type StudySet = 'wording' | 'intent';
export const SETS: readonly StudySet[] = ['wording', 'intent'];

/** One training run, or the one measurement of a system that is not trained. */
export interface StudyRun {
  id: string;
  /** Null where nothing is trained. */
  seed: number | null;
  /** Each prompt's verdicts by set. */
  answers: Partial<Record<StudySet, readonly Verdicts[]>>;
  /** What the cell holds besides; null for references. */
  outcome: CellOutcome | null;
  seconds: number;
}

export interface StudySystem {
  key: string;
  kind: SystemName;
  label: string;
  student: string;
  /** Null for references. */
  facets: Facets | null;
  /** Of the guarded system and of what it taught: what the guard reads, and how strict it is. */
  guard: GuardCase['kind'] | null;
  strictness: number;
  runs: StudyRun[];
}

export interface StudyDocument {
  name: string;
  sweep: string;
  finished: number;
  failed: { id: string; error: string }[];
  /** Cells that an earlier document has with other verdicts; that one counts. */
  otherwise: string[];
  commits: string[];
  devices: string[];
}

export interface Study {
  documents: StudyDocument[];
  /** References first, then by adapter, objective, guard case, strictness. */
  systems: StudySystem[];
}

const ADAPTER_ORDER = ['soft-prompt', 'lora', 'steering', 'preamble'];

/**
 * Cells that differ in nothing but their seed are one system, in whatever document they stand; of a
 * cell that stands in several documents the first counts.
 * @throws SpecError where a text is no sweep document
 */
export function openStudy(texts: readonly { name: string; text: string }[]): Study {
  const systems = new Map<string, StudySystem>();
  const recipes = new Map<string, Recipe>();
  const documents = texts.map(({ name, text }): StudyDocument => {
    // As the page reads it, so that what is published opens there.
    const { failed } = openSweep(text);
    const document = parseResults(JSON.parse(text), parseOutcome);
    const otherwise = addSystems(document, systems, recipes);
    const outcomes = document.cells.flatMap(({ result }) => (result ? [result] : []));
    const all = (values: string[]) => [...new Set(values)].sort();
    return {
      name,
      sweep: document.spec.name,
      finished: outcomes.length,
      failed,
      otherwise,
      commits: all(outcomes.map(({ environment }) => environment.commit)),
      devices: all(
        outcomes.flatMap(({ environment: { runtime, adapter } }) =>
          runtime && adapter ? [`${adapter}; ${runtime}`] : [],
        ),
      ),
    };
  });
  nameApart([...systems.values()], recipes);
  const sorted = [...systems.values()].sort((a, b) => compareRanks(rank(a), rank(b)));
  for (const { runs } of sorted) runs.sort((a, b) => (a.seed ?? 0) - (b.seed ?? 0));
  return { documents, systems: sorted };
}

function addSystems(
  document: SweepDocument,
  systems: Map<string, StudySystem>,
  recipes: Map<string, Recipe>,
): string[] {
  const { spec } = document;
  const otherwise: string[] = [];
  const planned = new Map(planSweep(spec).cells.map((cell) => [cell.id, cell]));
  // Sweeps over fewer prompts are measured otherwise, and are not pooled with whole ones.
  const evaluated = `${spec.sets.join('+')}/${spec.limit}`;
  for (const { id, result, seconds } of document.cells) {
    const cell = planned.get(id);
    if (!cell || !result) continue;
    const { recipe } = result;
    const { student } = recipe;
    const of = (name: SystemName) =>
      Object.fromEntries(
        result.evaluations.flatMap(({ set, temperature, systems }) =>
          temperature === 1 && systems[name] ? [[set, systems[name].answers]] : [],
        ),
      ) as StudyRun['answers'];
    const add = (system: Omit<StudySystem, 'runs' | 'student'>, run: StudyRun) => {
      if (Object.keys(run.answers).length === 0) return;
      const known = systems.get(system.key) ?? { ...system, student, runs: [] };
      systems.set(system.key, known);
      const before = known.runs.find(({ seed }) => seed === run.seed);
      if (!before) known.runs.push(run);
      else if (verdictsOf(before) !== verdictsOf(run)) otherwise.push(run.id);
    };
    for (const kind of REFERENCES) {
      const guarded = kind === 'guarded';
      add(
        {
          key: [referenceKey(kind, recipe), evaluated].join('/'),
          kind,
          label: referenceLabel(kind, recipe, spec.limit),
          facets: null,
          guard: guarded ? recipe.guardCase.kind : null,
          strictness: guarded ? recipe.strictness : 0,
        },
        { id: kind, seed: null, answers: of(kind), outcome: null, seconds: 0 },
      );
    }
    const { adapter } = cell;
    if (adapter.kind === 'preamble') {
      // The reference under another name.
      add(
        {
          key: [referenceKey('preamble', recipe), evaluated].join('/'),
          kind: 'preamble',
          label: referenceLabel('preamble', recipe, spec.limit),
          facets: null,
          guard: null,
          strictness: 0,
        },
        { id, seed: null, answers: of('adapter'), outcome: null, seconds: 0 },
      );
      continue;
    }
    const trained = isTrained(adapter);
    const key = trained ? `${experimentKey(recipe)}/${evaluated}` : `${id}/${student}/${evaluated}`;
    recipes.set(key, recipe);
    const facets = facetsOfRecipe(recipe);
    add(
      {
        key,
        kind: 'adapter',
        label: systemLabel(facets, student, spec.limit),
        facets,
        guard: trained ? recipe.guardCase.kind : null,
        strictness: trained ? recipe.strictness : 0,
      },
      {
        id,
        seed: trained ? recipe.seed : null,
        answers: of('adapter'),
        outcome: result,
        seconds,
      },
    );
  }
  return otherwise;
}

/** What packing keeps of a run's answers, as text. */
function verdictsOf({ answers }: StudyRun): string {
  const of = ({ id, judgeSafe, refused, correct }: Verdicts) =>
    `${id} ${judgeSafe >= 0.5} ${refused} ${correct}`;
  return SETS.map((set) => answers[set]?.map(of).join() ?? '').join('/');
}

function referenceLabel(kind: (typeof REFERENCES)[number], recipe: Recipe, limit: number): string {
  const { student, guardCase, strictness } = recipe;
  const names = { base: 'Base', preamble: 'Base + safety preamble', guarded: 'Guarded system' };
  const parts = kind === 'guarded' ? [`${guardCase.kind} guard`, strictnessName(strictness)] : [];
  return [names[kind], ...parts.filter((part) => part !== ''), ...where(student, limit)].join(', ');
}

function systemLabel(facets: Facets, student: string, limit: number): string {
  const { adapter, objective, guardCase, strictness } = facets;
  const parts = objective
    ? [objectiveName(objective), guardCaseName(guardCase), strictnessName(strictness)]
    : ['not trained'];
  return [
    adapterName(adapter),
    ...parts.filter((part) => part !== ''),
    ...where(student, limit),
  ].join(' · ');
}

function where(student: string, limit: number): string[] {
  return [
    ...(student === DEFAULT_RECIPE.student ? [] : [`on ${sourceTitle(student)}`]),
    ...(limit === 0 ? [] : [`${limit} prompts a label`]),
  ];
}

/** Systems of one name are told apart by the recipe fields that differ. */
function nameApart(systems: readonly StudySystem[], recipes: ReadonlyMap<string, Recipe>): void {
  const named = new Map<string, StudySystem[]>();
  for (const system of systems) {
    named.set(system.label, [...(named.get(system.label) ?? []), system]);
  }
  for (const same of named.values()) {
    if (same.length === 1) continue;
    const own = same.map(({ key }) => recipes.get(key));
    const fields = Object.keys(own[0] ?? {}).filter((field) => {
      const values = own.map((recipe) => JSON.stringify(recipe?.[field as keyof Recipe]));
      return field !== 'seed' && new Set(values).size > 1;
    });
    for (const [i, system] of same.entries()) {
      const text = fields.map((field) => {
        const value = own[i]?.[field as keyof Recipe];
        return `${field} ${typeof value === 'object' ? JSON.stringify(value) : value}`;
      });
      system.label += ` (${fields.length > 0 ? text.join(', ') : `sweep ${i + 1}`})`;
    }
  }
}

function rank({ kind, facets, strictness, label, student }: StudySystem): (number | string)[] {
  return [
    student === DEFAULT_RECIPE.student ? '' : student,
    ['base', 'preamble', 'guarded', 'adapter'].indexOf(kind),
    facets ? ADAPTER_ORDER.indexOf(facets.adapter.kind) : 0,
    facets?.objective ? OBJECTIVE_NAMES.indexOf(facets.objective.name) : -1,
    facets?.guardCase?.kind ?? '',
    -strictness,
    facets?.adapter.kind === 'soft-prompt' ? facets.adapter.n : 0,
    label,
  ];
}

function compareRanks(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  for (const [i, x] of a.entries()) {
    const y = b[i]!;
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}

/** Whether a system was trained towards the safe system's distribution. */
export function isDistilled({ facets }: StudySystem): boolean {
  const objective = facets?.objective;
  return objective ? OBJECTIVES[objective.name].family === 'distillation' : false;
}
