/** What the trade-off chart shows, as plain data: points, front, dominance, domains, neighbours. */
import type {
  AnswerRecord,
  Evaluation,
  Measure,
  Recipe,
  SystemName,
  SystemScores,
} from '../../distill/types';
import { isTrained, type AdapterSpec } from '../../distill/adapters/adapter-spec';
import type { Trained } from '../../distill/adapters/kept-values';
import { OBJECTIVES } from '../../distill/objectives/catalogue';
import { DEFAULT_RECIPE } from '../../distill/train/recipe';
import { sourceTitle } from '../../formats/source-text';
import type { Facets } from './facets';
import { percent } from './format';
import type { Marked } from './marks';

/** The parts of a run that the chart needs; a recording's digest has no answers. */
export interface ChartRun {
  id: string;
  createdAt: string;
  recipe: Recipe;
  environment: { commit: string };
  /** The run's link text, where it has one. */
  share?: string | null;
  probes: readonly { step: number; safety: Measure; usefulness: Measure }[];
  evaluations: readonly Evaluation[];
}

export interface TradeoffPoint extends Marked {
  /** System name for the references, else the id of a run or of a sweep's cell. */
  id: string;
  kind: SystemName;
  label: string;
  detail: string;
  runId: string | null;
  seed: number | null;
  commit: string;
  usefulness: Measure;
  safety: Measure;
  scores: SystemScores;
  answers: readonly AnswerRecord[];
  /** How likely the teacher refuses each prompt, in the order of the answers. */
  expectedRefusal: readonly number[] | null;
  trail: readonly { step: number; usefulness: number; safety: number }[];
  /** What was trained; null for reference systems. */
  facets: Facets | null;
  /** What repetitions with other seeds have in common; null for reference systems. */
  experiment: string | null;
  /** b of the target that it stands for; null where there is none. */
  strictness: number | null;
  /** What the points of one strictness curve have in common; null where there is none. */
  curve: string | null;
  /** The text of its link, where it has one. */
  share: string | null;
  /** What was trained, where it stands beside the scores. */
  trained?: Trained;
}

export function objectiveLabel(recipe: Pick<Recipe, 'objective'>): string {
  return OBJECTIVES[recipe.objective.name].label;
}

export function adapterLabel(adapter: AdapterSpec): string {
  switch (adapter.kind) {
    case 'soft-prompt': {
      const { n, form, size } = adapter;
      if (form === 'full') return `${n} vectors`;
      return `${n} vectors from ${size} values ${form === 'rows' ? 'each' : 'in all'}`;
    }
    case 'lora':
      return `LoRA of rank ${adapter.rank}`;
    case 'steering':
      if (adapter.source === 'refusal') return 'the refusal direction';
      return `${adapter.layers === 'all' ? 'steering vectors' : 'one steering vector'}${
        adapter.source === 'difference' ? ', a difference of means' : ''
      }`;
    case 'preamble':
      return 'written preamble';
  }
}

export function recipeLine(recipe: Recipe): string {
  const strictness = recipe.strictness === 0 ? '' : `, strictness ${-recipe.strictness}`;
  const student =
    recipe.student === DEFAULT_RECIPE.student ? '' : `, on ${sourceTitle(recipe.student)}`;
  const { adapter, guardCase, steps, seed, data } = recipe;
  const besides = data?.prompts === 'add' ? 'the bundled prompts and ' : '';
  const prompts = data ? `, on ${besides}“${data.name}”` : '';
  if (!isTrained(adapter)) return `${adapterLabel(adapter)}${student}`;
  const reads = guardCase.kind === 'prompt' ? '' : ', guard on answers';
  return `${objectiveLabel(recipe)}, ${adapterLabel(adapter)}, ${steps} steps, seed ${seed}${strictness}${reads}${student}${prompts}`;
}

/** Recipe without its seed: runs that share it are repetitions of one experiment. */
export function experimentKey(recipe: Recipe): string {
  // Runs from before there was a choice of guards had the bundled one.
  const whole: Recipe = { ...DEFAULT_RECIPE, ...recipe };
  const entries = Object.entries(whole).filter(([key]) => key !== 'seed');
  return JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

interface Position {
  usefulness: { value: number };
  safety: { value: number };
}

/** a is at least as good on both axes and better on one. */
export function dominates(a: Position, b: Position): boolean {
  const du = a.usefulness.value - b.usefulness.value;
  const ds = a.safety.value - b.safety.value;
  return du >= 0 && ds >= 0 && (du > 0 || ds > 0);
}

export function dominatedIds<T extends Position & { id: string }>(
  points: readonly T[],
): Set<string> {
  return new Set([...dominated(points)].map(({ id }) => id));
}

/** From the most useful down: what is not above the safest so far is dominated. */
function dominated<T extends Position>(points: readonly T[]): Set<T> {
  const sorted = points
    // What has no place neither dominates nor is dominated.
    .filter(({ usefulness, safety }) => !Number.isNaN(usefulness.value + safety.value))
    .sort((a, b) => b.usefulness.value - a.usefulness.value || b.safety.value - a.safety.value);
  const found = new Set<T>();
  let safest = -Infinity;
  let previous: T | undefined;
  for (const point of sorted) {
    const twin =
      previous?.usefulness.value === point.usefulness.value &&
      previous.safety.value === point.safety.value;
    // Neither of two in one place dominates the other.
    if (previous && twin ? found.has(previous) : point.safety.value <= safest) found.add(point);
    safest = Math.max(safest, point.safety.value);
    previous = point;
  }
  return found;
}

/** Corners of the front from the safest point down to the most useful one, as [usefulness, safety]. */
export function staircase(points: readonly Position[]): [number, number][] {
  const behind = dominated(points);
  const front = points
    .filter((point) => !behind.has(point))
    .map((p): [number, number] => [p.usefulness.value, p.safety.value])
    .sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  const corners: [number, number][] = [];
  for (const [i, point] of front.entries()) {
    const previous = front[i - 1];
    // Between two points of the front only what both reach is sure: down first, then right.
    if (previous && previous[0] !== point[0]) corners.push([previous[0], point[1]]);
    corners.push(point);
  }
  return corners;
}

export type View = 'fit' | 'whole';

/** Axis ranges: everything, or what the intervals cover, widened to whole tenths. */
export function domains(
  points: readonly Pick<TradeoffPoint, 'usefulness' | 'safety'>[],
  view: View,
): { x: [number, number]; y: [number, number] } {
  if (view === 'whole' || points.length === 0) return { x: [0, 1], y: [0, 1] };
  return {
    x: range(points.map((p) => p.usefulness)),
    y: range(points.map((p) => p.safety)),
  };
}

function range(measures: readonly Measure[]): [number, number] {
  const low = measures.reduce((least, m) => Math.min(least, m.low), Infinity);
  const high = measures.reduce((most, m) => Math.max(most, m.high), -Infinity);
  const step = high - low > 0.35 ? 0.1 : high - low > 0.12 ? 0.05 : 0.02;
  const margin = step / 4;
  return [
    Math.max(0, Math.floor((low - margin) / step + 1e-9) * step),
    Math.min(1, Math.ceil((high + margin) / step - 1e-9) * step),
  ];
}

export type Direction = 'left' | 'right' | 'up' | 'down';

/**
 * The point an arrow key leads to: the nearest one on that side, by the order along that axis, so
 * that repeated presses visit every point. Stays where it is at the end.
 */
export function neighbour<T extends Position & { id: string }>(
  points: readonly T[],
  id: string,
  direction: Direction,
): string {
  const axis = direction === 'left' || direction === 'right' ? 'usefulness' : 'safety';
  const ordered = [...points].sort(
    (a, b) => a[axis].value - b[axis].value || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
  );
  const at = ordered.findIndex((p) => p.id === id);
  const next = at + (direction === 'right' || direction === 'up' ? 1 : -1);
  return ordered[next]?.id ?? id;
}

/** A point in words, for a screen reader. */
export function describePoint(
  point: Pick<TradeoffPoint, 'label' | 'detail' | 'safety' | 'usefulness'>,
  dominated: boolean,
): string {
  const say = ({ value, low, high, n }: Measure) =>
    `${percent(value)}, between ${percent(low)} and ${percent(high)}, n ${n}`;
  const parts = [
    `${point.label}, ${point.detail}.`,
    `Safety ${say(point.safety)}.`,
    `Usefulness ${say(point.usefulness)}.`,
  ];
  if (dominated) parts.push('Another system is at least as good on both.');
  return parts.join(' ');
}
