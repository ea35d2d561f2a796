/** What is drawn with a mark: points, seeds as dots, means of seeds; and which of them are named. */
import type { Measure } from '../../distill/types';
import type { Marked } from './marks';
import type { HumanScore } from './ratings';
import { fadedIds, unitDetail, type Unit } from './points';
import type { TradeoffPoint } from './tradeoff';

export interface ChartItem extends Marked {
  id: string;
  /** The point that choosing it chooses. */
  target: string;
  label: string;
  detail: string;
  usefulness: Measure;
  safety: Measure;
  size: 'dot' | 'mark' | 'mean' | 'human';
  faded: boolean;
}

/** A point and what people said of its answers. */
export interface RatedPoint {
  point: TradeoffPoint;
  score: HumanScore;
}

export function itemsOf(
  points: readonly TradeoffPoint[],
  units: readonly Unit[],
  humans: readonly RatedPoint[] = [],
): ChartItem[] {
  const faded = fadedIds(units);
  const alone = new Set(units.filter((u) => u.points[0]?.id === u.id).map((u) => u.id));
  const own = points.map((point): ChartItem => {
    const { id, kind, series, shape, label, detail, usefulness, safety } = point;
    const size = alone.has(id) ? 'mark' : 'dot';
    const mark = { kind, series, ...(shape !== undefined && { shape }) };
    return {
      id,
      target: id,
      ...mark,
      label,
      detail,
      usefulness,
      safety,
      size,
      faded: faded.has(id),
    };
  });
  const means = units.flatMap((unit): ChartItem[] => {
    const [first] = unit.points;
    if (alone.has(unit.id) || !first) return [];
    const { kind, series, shape } = first;
    const { id, label, usefulness, safety } = unit;
    const mark = { kind, series, ...(shape !== undefined && { shape }) };
    const detail = unitDetail(unit);
    return [
      {
        ...{ id, target: nearest(unit).id, ...mark, label, detail, usefulness, safety },
        size: 'mean',
        faded: faded.has(id),
      },
    ];
  });
  const rated = humans
    .filter(({ score }) => score.safety.n > 0 && score.usefulness.n > 0)
    .map(({ point, score }): ChartItem => {
      const { id, kind, series, shape, label } = point;
      const mark = { kind, series, ...(shape !== undefined && { shape }) };
      return {
        ...{ id: `human:${id}`, target: id, ...mark, ...score, size: 'human', faded: false },
        label: `${label}, by people`,
        detail: 'blind votes',
      };
    });
  // Large marks last: they lie on top and are what a click means.
  return [
    ...own.filter((i) => i.size === 'dot'),
    ...own.filter((i) => i.size === 'mark'),
    ...means,
    ...rated,
  ];
}

/** The seed that stands for its mean: the one closest to it. */
function nearest({ points, usefulness, safety }: Unit): TradeoffPoint {
  const off = (p: TradeoffPoint) =>
    Math.hypot(p.usefulness.value - usefulness.value, p.safety.value - safety.value);
  return points.reduce((best, point) => (off(point) < off(best) ? point : best));
}

/** More names than this cover the chart. */
const ALL_NAMED = 9;

/** Of a front of thousands so many are named, from end to end of it. */
const MOST_NAMED = 24;

/** Which items have their names printed beside them. */
export interface Naming {
  ids: Set<string>;
  /** How many of the front there was no room to name. */
  unnamed: number;
}

/**
 * All of few; else references, front and chosen ones. Of a long front some are named, spread over
 * its length.
 */
export function namingOf(
  items: readonly ChartItem[],
  strict: ReadonlySet<string>,
  selected: string | null,
  narrow: boolean,
): Naming {
  const large = items.filter((item) => item.size !== 'dot' && item.size !== 'human');
  if (large.length <= ALL_NAMED) return { ids: new Set(large.map(({ id }) => id)), unnamed: 0 };
  const chosen = large.filter((item) => item.id === selected || item.target === selected);
  const references = large.filter((item) => item.kind !== 'adapter' && !strict.has(item.id));
  const first = [...new Set([...chosen, ...references].map(({ id }) => id))].slice(0, MOST_NAMED);
  const front = large
    .filter((item) => item.kind === 'adapter' && !item.faded && !narrow && !first.includes(item.id))
    .sort((a, b) => a.usefulness.value - b.usefulness.value);
  const room = Math.min(front.length, MOST_NAMED - first.length);
  const last = Math.max(1, room - 1);
  const spread = Array.from(
    { length: room },
    (_, i) => front[Math.round((i * (front.length - 1)) / last)]!.id,
  );
  return { ids: new Set([...first, ...spread]), unnamed: front.length - room };
}

/** The values that people's scores have on the chart, as intervals of no width. */
export function valuesOf(
  humans: readonly RatedPoint[],
): { usefulness: Measure; safety: Measure }[] {
  const bare = (measure: Measure) => ({ ...measure, low: measure.value, high: measure.value });
  return humans
    .filter(({ score }) => score.safety.n > 0 && score.usefulness.n > 0)
    .map(({ score }) => ({ usefulness: bare(score.usefulness), safety: bare(score.safety) }));
}
