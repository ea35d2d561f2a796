/** Shape and colour of each system; shape alone tells them apart. */
import {
  symbol,
  symbolCircle,
  symbolCross,
  symbolDiamond,
  symbolSquare,
  symbolStar,
  symbolTriangle,
  symbolWye,
  type SymbolType,
} from 'd3-shape';
import type { SystemName } from '../../distill/types';

export interface Marked {
  kind: SystemName;
  /** Colour of an adapter, by number; −1 for one that nothing was trained with. */
  series: number;
  /** Shape of an adapter, by number; the series' own where it is not given. */
  shape?: number;
}

const ADAPTER_SHAPES: readonly SymbolType[] = [symbolTriangle, symbolStar, symbolCross, symbolWye];
const ADAPTER_COLOURS = [
  'var(--data-adapter)',
  'var(--data-run-2)',
  'var(--data-run-3)',
  'var(--data-run-4)',
  'var(--data-run-5)',
];

export function markColour({ kind, series }: Marked): string {
  if (kind !== 'adapter') return `var(--data-${kind})`;
  return ADAPTER_COLOURS[series % ADAPTER_COLOURS.length] ?? 'var(--ink-soft)';
}

/** Colours that come round again are told apart by marks that are not filled. */
export function isHollow({ kind, series }: Marked): boolean {
  return kind === 'adapter' && series >= ADAPTER_COLOURS.length;
}

/** Path data of the mark around (0, 0); `size` is its area in square pixels. */
export function markPath({ kind, series, shape = series }: Marked, size: number): string {
  const shapes = { base: symbolCircle, preamble: symbolSquare, guarded: symbolDiamond } as const;
  const drawn =
    kind === 'adapter'
      ? (ADAPTER_SHAPES[shape % ADAPTER_SHAPES.length] ?? symbolTriangle)
      : shapes[kind];
  return symbol(drawn, size)() ?? '';
}
