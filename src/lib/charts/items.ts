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

/** Ids of the items whose names are printed: all of few; else references, front and chosen ones. */
export function namedIds(
  items: readonly ChartItem[],
  strict: ReadonlySet<string>,
  selected: string | null,
  narrow: boolean,
): Set<string> {
  const large = items.filter((item) => item.size !== 'dot' && item.size !== 'human');
  if (large.length <= ALL_NAMED) return new Set(large.map(({ id }) => id));
  const chosen = (item: ChartItem) => item.id === selected || item.target === selected;
  return new Set(
    large
      .filter(
        (item) =>
          chosen(item) || (item.kind !== 'adapter' ? !strict.has(item.id) : !item.faded && !narrow),
      )
      .map(({ id }) => id),
  );
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
