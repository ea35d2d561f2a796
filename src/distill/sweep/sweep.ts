/**
 * Sweeps: adapters × objectives × guard cases × strictness × seeds as an ordered list of cells with
 * stable ids, and the document of what is finished. Pure; whoever runs one does the reading and
 * writing, a whole document at a time (write beside it, then rename: a kill loses no cell).
 *
 * A specification, as JSON:
 *
 *   {
 *     "version": 1,
 *     "name": "core",
 *     "base": { "student": "pocket", "steps": 150 },   any recipe field but data and the swept ones
 *     "adapters": ["soft-prompt", { "kind": "lora", "rank": 2 }],
 *     "objectives": ["tv", { "name": "tailr", "gamma": 0.5 }],
 *     "guardCases": ["prompt", { "kind": "response", "samples": 4 }],   default ["prompt"]
 *     "strictness": [-2, 0, 2],                                default [0]
 *     "virtualTokens": [8, 16],       soft prompts that name no n have each of these; default [16]
 *     "seeds": [0, 1, 2],                                      default [0]
 *     "tuned": [{ "adapter": "lora", "objective": "ppo", "set": { "learningRate": 0.005 } }],
 *                                     recipe fields of the cells of an adapter, an objective or both,
 *                                     no student and no guard; of several that fit, later ones win
 *     "sets": ["wording", "intent"],  what is evaluated; both by default
 *     "limit": 0                      prompts of each label to evaluate; 0, the default, is all
 *   }
 *
 * Seeds are outermost: a sweep that is stopped early has whole grids of its first seeds.
 */
import {
  ADAPTER_KINDS,
  ADAPTER_RANGES,
  adapterKey,
  isTrained,
  parseAdapter,
  type AdapterKind,
  type AdapterSpec,
} from '../adapters/adapter-spec';
import { guardCaseKey, incompatible, parseGuardCase, type GuardCase } from '../target/guard-case';
import {
  OBJECTIVE_NAMES,
  objectiveKey,
  parseObjective,
  type ObjectiveName,
  type ObjectiveSpec,
} from '../objectives/spec';
import { hash32 } from '../statistics/prng';
import { parseRecipe, RECIPE_RANGES, RecipeError } from '../train/recipe';
import {
  checkNumber,
  choiceField,
  describe,
  fieldsOf,
  listField,
  onlyFields,
  SpecError,
} from '../data/spec-fields';
import type { Recipe } from '../types';

/** Recipe fields that a sweep's axes set. */
const SWEPT = ['adapter', 'objective', 'guardCase', 'strictness', 'seed'] as const;
/** A sweep loads one student and one guard, for all of its cells. */
const LOADED = ['student', 'guard'] as const;

/** Sweeps train on the bundled prompts. */
type SharedFields = Partial<Omit<Recipe, (typeof SWEPT)[number] | 'data'>>;
type TunedFields = Omit<SharedFields, (typeof LOADED)[number]>;

/** Recipe fields of some cells, such as the learning rate that suits an adapter. */
export interface Tuning {
  /** All adapters, or objectives, where absent. */
  adapter?: AdapterKind;
  objective?: ObjectiveName;
  set: TunedFields;
}

export type SweepSet = 'wording' | 'intent';

export interface SweepSpec {
  version: 1;
  name: string;
  /** Recipe fields that all cells share; the rest are the default recipe's. */
  base: SharedFields;
  /** Soft prompts without an n of their own stand here once for each of `virtualTokens`. */
  adapters: AdapterSpec[];
  objectives: ObjectiveSpec[];
  guardCases: GuardCase[];
  strictness: number[];
  seeds: number[];
  tuned: Tuning[];
  sets: SweepSet[];
  /** Prompts of each label to evaluate; 0 is all. */
  limit: number;
}

export interface SweepCell {
  /** Stable over versions of a specification: axes can grow without losing finished cells. */
  id: string;
  adapter: AdapterSpec;
  /** Null for adapters that are not trained, like the next three's axes. */
  objective: ObjectiveSpec | null;
  guardCase: GuardCase | null;
  strictness: number;
  seed: number;
}

export interface SweepPlan {
  cells: SweepCell[];
  /** Combinations that cannot be trained, with the reason; each once, not once a seed. */
  skipped: {
    adapter: AdapterSpec;
    objective: ObjectiveSpec;
    guardCase: GuardCase;
    reason: string;
  }[];
}

const MAX_AXIS = 100;
const MAX_CELLS = 10_000;
const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/i;
const FIELDS = [
  'version',
  'name',
  'base',
  'adapters',
  'objectives',
  'guardCases',
  'strictness',
  'virtualTokens',
  'seeds',
  'tuned',
  'sets',
  'limit',
];

/**
 * A checked specification.
 * @throws SpecError, which names the field
 */
export function parseSweep(value: unknown): SweepSpec {
  const fields = fieldsOf(value, 'sweep');
  onlyFields(fields, FIELDS, 'sweep');
  if (fields.version !== 1) {
    throw new SpecError('version', `version must be 1, not ${describe(fields.version)}.`);
  }
  const name = fields.name ?? 'sweep';
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new SpecError('name', 'name must be letters, digits, dots and dashes, at most 64.');
  }
  const axis = <T>(field: string, fallback: unknown[], read: (v: unknown, path: string) => T) =>
    listField(fields[field] ?? fallback, field, { min: 1, max: MAX_AXIS }, read);
  const numbers = (field: 'strictness' | 'virtualTokens' | 'seeds', fallback: number) => {
    const range = {
      strictness: RECIPE_RANGES.strictness,
      seeds: RECIPE_RANGES.seed,
      virtualTokens: ADAPTER_RANGES.n,
    }[field];
    return unique(
      axis(field, [fallback], (v, path) => checkNumber(v, range, path)),
      String,
    );
  };
  const virtualTokens = numbers('virtualTokens', 16);
  const adapters = axis('adapters', ['soft-prompt'], (entry, path) => {
    const adapter = parseAdapter(entry, path);
    const own = typeof entry === 'object' && entry !== null && 'n' in entry;
    if (adapter.kind !== 'soft-prompt' || own) return [adapter];
    return virtualTokens.map((n): AdapterSpec => ({ ...adapter, n }));
  }).flat();
  const spec: SweepSpec = {
    version: 1,
    name,
    base: parseShared(fields.base ?? {}, 'base'),
    adapters: unique(adapters, adapterKey),
    objectives: unique(axis('objectives', ['tv'], parseObjective), objectiveKey),
    guardCases: unique(axis('guardCases', ['prompt'], parseGuardCase), guardCaseKey),
    strictness: numbers('strictness', 0),
    seeds: numbers('seeds', 0),
    tuned: listField(fields.tuned ?? [], 'tuned', { min: 0, max: MAX_AXIS }, parseTuning),
    sets: unique(
      axis('sets', ['wording', 'intent'], (value, path) =>
        choiceField({ set: value }, 'set', ['wording', 'intent'], path),
      ),
      String,
    ),
    limit: checkNumber(fields.limit ?? 0, { min: 0, max: 100_000, integer: true }, 'limit'),
  };
  const size =
    spec.adapters.length *
    spec.objectives.length *
    spec.guardCases.length *
    spec.strictness.length *
    spec.seeds.length;
  if (size > MAX_CELLS) {
    throw new SpecError('sweep', `The sweep has ${size} cells; ${MAX_CELLS} are possible.`);
  }
  if (planSweep(spec).cells.length === 0) {
    const [first] = planSweep(spec).skipped;
    throw new SpecError(
      'objectives',
      `The sweep has no cell that can be trained: ${first!.reason}`,
    );
  }
  return spec;
}

function parseTuning(value: unknown, path: string): Tuning {
  const fields = fieldsOf(value, path);
  onlyFields(fields, ['adapter', 'objective', 'set'], path);
  return {
    ...(fields.adapter !== undefined && {
      adapter: choiceField(fields, 'adapter', ADAPTER_KINDS, path),
    }),
    ...(fields.objective !== undefined && {
      objective: choiceField(fields, 'objective', OBJECTIVE_NAMES, path),
    }),
    set: parseTuned(fields.set, `${path}.set`),
  };
}

function parseTuned(value: unknown, path: string): TunedFields {
  const fields = fieldsOf(value, path);
  const loaded = LOADED.find((field) => field in fields);
  if (loaded) {
    throw new SpecError(
      `${path}.${loaded}`,
      `All cells of a sweep have one ${loaded}: write it into base, or make another sweep.`,
    );
  }
  return parseShared(fields, path);
}

function parseShared(value: unknown, path: string): SharedFields {
  const fields = fieldsOf(value, path);
  const swept = [...SWEPT, 'virtualTokens'].find((field) => field in fields);
  if (swept)
    throw new SpecError(`${path}.${swept}`, `${swept} is an axis of the sweep, not its base.`);
  if ('data' in fields) {
    throw new SpecError(`${path}.data`, 'A sweep trains on the bundled prompts; it takes no data.');
  }
  try {
    const recipe = parseRecipe(fields);
    return Object.fromEntries(
      Object.keys(fields).map((field) => [field, recipe[field as keyof Recipe]]),
    );
  } catch (error) {
    if (error instanceof RecipeError) throw new SpecError(`${path}.${error.field}`, error.message);
    throw error;
  }
}

/** The cells of a specification, in the order in which they are run. */
export function planSweep(spec: SweepSpec): SweepPlan {
  const cells: SweepCell[] = [];
  const skipped: SweepPlan['skipped'] = [];
  for (const [round, seed] of spec.seeds.entries()) {
    for (const adapter of spec.adapters) {
      if (!isTrained(adapter)) {
        // Nothing to train: one cell, whatever the other axes.
        if (round === 0) cells.push(cellOf(adapter, null, null, 0, 0));
        continue;
      }
      for (const objective of spec.objectives) {
        for (const guardCase of spec.guardCases) {
          const reason = incompatible(objective, guardCase);
          if (reason) {
            if (round === 0) skipped.push({ adapter, objective, guardCase, reason });
            continue;
          }
          for (const strictness of spec.strictness) {
            cells.push(cellOf(adapter, objective, guardCase, strictness, seed));
          }
        }
      }
    }
  }
  return { cells, skipped };
}

function cellOf(
  adapter: AdapterSpec,
  objective: ObjectiveSpec | null,
  guardCase: GuardCase | null,
  strictness: number,
  seed: number,
): SweepCell {
  const id =
    objective && guardCase
      ? [
          adapterKey(adapter),
          objectiveKey(objective),
          guardCaseKey(guardCase),
          `b${strictness}`,
          `s${seed}`,
        ].join('_')
      : adapterKey(adapter);
  return { id, adapter, objective, guardCase, strictness, seed };
}

/** What a cell trains with; of adapters that are not trained, what they are evaluated with. */
export function cellRecipe(spec: SweepSpec, cell: SweepCell): Recipe {
  const { adapter, objective, guardCase, strictness, seed } = cell;
  const fits = ({ adapter: kind, objective: name }: Tuning) =>
    (kind === undefined || kind === adapter.kind) &&
    (name === undefined || name === objective?.name);
  return parseRecipe({
    ...Object.assign({}, spec.base, ...spec.tuned.filter(fits).map(({ set }) => set)),
    adapter,
    ...(objective && { objective }),
    ...(guardCase && { guardCase }),
    strictness,
    seed,
  });
}

/** A hash of what all cells share: results of another base are results of another sweep. */
export function baseHash(spec: SweepSpec): string {
  const recipe = parseRecipe({ ...spec.base });
  const swept: readonly string[] = SWEPT;
  const shared = Object.entries(recipe)
    .filter(([field]) => !swept.includes(field))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const { sets, limit } = spec;
  // What is tuned is left out, so that a sweep can grow: cells carry their recipe.
  const evaluated = sets.length === 2 && limit === 0 ? [] : [{ sets, limit }];
  return hash32(JSON.stringify([...shared, ...evaluated]))
    .toString(16)
    .padStart(8, '0');
}

function unique<T>(items: readonly T[], key: (item: T) => string): T[] {
  return [...new Map(items.map((item) => [key(item), item])).values()];
}
