/** What shapes and colours mean where points are told apart by adapter and objective. */
import { OBJECTIVES } from '../../distill/objectives/catalogue';
import { KIND_LABELS } from './facets';
import type { Marked } from './marks';
import type { TradeoffPoint } from './tradeoff';

export interface LegendEntry {
  label: string;
  mark: Marked;
}

export interface Legend {
  shapes: LegendEntry[];
  colours: LegendEntry[];
}

export function legendOf(points: readonly TradeoffPoint[]): Legend {
  const shapes = new Map<string, LegendEntry>();
  const colours = new Map<number, LegendEntry>();
  for (const { kind, series, shape, facets } of points) {
    if (!facets) continue;
    const label = KIND_LABELS[facets.adapter.kind];
    if (!shapes.has(label)) {
      shapes.set(label, {
        label,
        mark: { kind, series: -1, ...(shape !== undefined && { shape }) },
      });
    }
    if (!colours.has(series)) {
      // Variants of an objective share its colour.
      const name = facets.objective ? OBJECTIVES[facets.objective.name].label : 'not trained';
      colours.set(series, { label: name, mark: { kind, series, shape: 0 } });
    }
  }
  const ordered = [...colours.values()].sort((a, b) => a.mark.series - b.mark.series);
  return { shapes: [...shapes.values()], colours: ordered };
}
