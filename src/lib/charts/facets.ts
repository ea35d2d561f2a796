/** What was trained, with what, for which guard: names, keys and filters of points. */
import {
  adapterKey,
  isTrained,
  type AdapterKind,
  type AdapterSpec,
} from '../../distill/adapters/adapter-spec';
import type { Recipe, SystemName } from '../../distill/types';
import { guardCaseKey, type GuardCase } from '../../distill/target/guard-case';
import { OBJECTIVES } from '../../distill/objectives/catalogue';
import { objectiveKey, OBJECTIVE_NAMES, type ObjectiveSpec } from '../../distill/objectives/spec';
import { DEFAULT_RECIPE } from '../../distill/train/recipe';
import { sourceTitle } from '../../formats/source-text';

export const SYSTEM_LABELS: Record<SystemName, string> = {
  base: 'Base model',
  preamble: 'Base + safety preamble',
  guarded: 'Guarded system',
  adapter: 'Soft prompt',
};

export interface Facets {
  adapter: AdapterSpec;
  /** Null where nothing is trained. */
  objective: ObjectiveSpec | null;
  guardCase: GuardCase | null;
  /** b of METHOD.md §3.3; negative is stricter. */
  strictness: number;
  /** The guard's source as text, its calibration temperature and clip. */
  guard: string;
  guardTemperature: number;
  guardClip: number;
}

export function facetsOfRecipe(recipe: Recipe): Facets {
  const { adapter, guardCase, strictness, guardTemperature, guardClip } = recipe;
  return {
    adapter,
    objective: isTrained(adapter) ? recipe.objective : null,
    ...{ guardCase, strictness, guardTemperature, guardClip },
    // Runs from before there was a choice of guards had the bundled one.
    guard: recipe.guard ?? DEFAULT_RECIPE.guard,
  };
}

export const KIND_LABELS: Record<AdapterKind, string> = {
  'soft-prompt': 'Soft prompt',
  lora: 'LoRA',
  steering: 'Steering',
  preamble: 'Written preamble',
};

/** What one run's tables call each system: the adapted one by what was trained. */
export function systemLabels({ adapter }: Pick<Recipe, 'adapter'>): Record<SystemName, string> {
  return { ...SYSTEM_LABELS, adapter: KIND_LABELS[adapter.kind] };
}

/** "Soft prompt n 16", "LoRA rank 2", "Steering, all layers". */
export function adapterName(spec: AdapterSpec): string {
  const kind = KIND_LABELS[spec.kind];
  switch (spec.kind) {
    case 'soft-prompt':
      return `${kind} n ${spec.n}${spec.form === 'full' ? '' : `, ${spec.form} ${spec.size}`}`;
    case 'lora': {
      const alpha = spec.alpha === 2 * spec.rank ? '' : `, α ${spec.alpha}`;
      const targets = spec.targets.join('');
      return `${kind} rank ${spec.rank}${alpha}${targets === 'qv' ? '' : `, ${spec.targets.join(' ')}`}`;
    }
    case 'steering': {
      if (spec.source === 'refusal') return `${kind}, refusal direction × ${spec.scale}`;
      const where = spec.layers === 'all' ? 'all layers' : `depth ${spec.depth}`;
      return spec.source === 'trained'
        ? `${kind}, ${where}`
        : `${kind}, ${where}, difference × ${spec.scale}`;
    }
    case 'preamble':
      return kind;
  }
}

/** "TV", "TaiLr, gamma 0.8". */
export function objectiveName(spec: ObjectiveSpec | null): string {
  if (!spec) return 'not trained';
  return [OBJECTIVES[spec.name].label, ...variants(objectiveKey(spec), spec.name)].join(', ');
}

/** "prompt guard", "response guard", "response guard, mean". */
export function guardCaseName(guardCase: GuardCase | null): string {
  if (!guardCase) return 'no guard';
  if (guardCase.kind === 'prompt') return 'prompt guard';
  const { sampling, samples, denseBelow } = guardCase;
  return [
    'response guard',
    ...(sampling === 'exact' ? [] : [sampling]),
    ...(samples === 4 ? [] : [`${samples} samples`]),
    ...(denseBelow > 0 ? [`dense below ${denseBelow}`] : []),
  ].join(', ');
}

/** Stricter is larger, as people say it. */
export function strictnessName(strictness: number): string {
  return strictness === 0 ? '' : `strictness ${strictness < 0 ? '' : '−'}${Math.abs(strictness)}`;
}

/** What of a guarded system is not as it is by default, apart from its strictness. */
export function guardNames({
  guard,
  guardCase,
  guardTemperature,
  guardClip,
}: Pick<Facets, 'guard' | 'guardCase' | 'guardTemperature' | 'guardClip'>): string[] {
  return [
    ...(!guardCase || guardCase.kind === 'prompt' ? [] : [guardCaseName(guardCase)]),
    ...(guard === DEFAULT_RECIPE.guard ? [] : [`guard ${sourceTitle(guard)}`]),
    ...(guardTemperature === DEFAULT_RECIPE.guardTemperature
      ? []
      : [`temperature ${guardTemperature}`]),
    ...(guardClip === DEFAULT_RECIPE.guardClip ? [] : [`clip ${guardClip}`]),
  ];
}

/** The parts of a key behind its name: `gamma0.8` becomes "gamma 0.8". */
function variants(key: string, name: string): string[] {
  const rest = key.slice(name.length + 1);
  return rest === ''
    ? []
    : rest
        .split('-')
        .map((part) => part.replace(/^(reading|reward)/, '').replace(/^([a-z]+)(?=\d)/i, '$1 '));
}

/** Everything but strictness and seed: points that share it lie on one curve. */
export function curveKey({ adapter, objective, guardCase }: Facets): string {
  return [
    adapterKey(adapter),
    objective ? objectiveKey(objective) : '',
    guardCase ? guardCaseKey(guardCase) : '',
  ].join('_');
}

/** The facets that can be filtered by, and the keys that are hidden in each. */
export const FILTERS = ['adapter', 'objective', 'guardCase'] as const;
export type FilterName = (typeof FILTERS)[number];
export type Hidden = Readonly<Record<FilterName, ReadonlySet<string>>>;

export const NOTHING_HIDDEN: Hidden = {
  adapter: new Set(),
  objective: new Set(),
  guardCase: new Set(),
};

/** The same filters with one value shown that was hidden, or hidden that was shown. */
export function toggled(hidden: Hidden, filter: FilterName, key: string): Hidden {
  const keys = new Set(hidden[filter]);
  if (!keys.delete(key)) keys.add(key);
  return { ...hidden, [filter]: keys };
}

export function filterKey(facets: Facets, filter: FilterName): string {
  switch (filter) {
    case 'adapter':
      return adapterKey(facets.adapter);
    case 'objective':
      return facets.objective ? objectiveKey(facets.objective) : 'none';
    case 'guardCase':
      return facets.guardCase ? guardCaseKey(facets.guardCase) : 'none';
  }
}

function filterLabel(facets: Facets, filter: FilterName): string {
  switch (filter) {
    case 'adapter':
      return adapterName(facets.adapter);
    case 'objective':
      return objectiveName(facets.objective);
    case 'guardCase':
      return guardCaseName(facets.guardCase);
  }
}

export interface FilterOption {
  key: string;
  label: string;
  count: number;
}

/** The values of each facet among points, with how many points have them. */
export function filterOptions(
  points: readonly { facets: Facets | null }[],
): Record<FilterName, FilterOption[]> {
  const options = (filter: FilterName) => {
    const found = new Map<string, FilterOption>();
    for (const { facets } of points) {
      if (!facets) continue;
      const key = filterKey(facets, filter);
      const option = found.get(key) ?? { key, label: filterLabel(facets, filter), count: 0 };
      option.count++;
      found.set(key, option);
    }
    return [...found.values()];
  };
  return {
    adapter: options('adapter'),
    objective: options('objective').sort((a, b) => objectiveRank(a.key) - objectiveRank(b.key)),
    guardCase: options('guardCase'),
  };
}

function objectiveRank(key: string): number {
  // The longest name that fits: `naive-tv` is not a variant of anything else.
  return OBJECTIVE_NAMES.findIndex((name) => key === name || key.startsWith(`${name}-`));
}

/** Whether a point is left by the filters; reference systems always are. */
export function isShown({ facets }: { facets: Facets | null }, hidden: Hidden): boolean {
  return !facets || FILTERS.every((filter) => !hidden[filter].has(filterKey(facets, filter)));
}
