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

interface Marked {
  kind: SystemName;
  series: number;
}

const ADAPTER_SHAPES: readonly SymbolType[] = [symbolTriangle, symbolStar, symbolCross, symbolWye];
const ADAPTER_COLOURS = [
  'var(--data-adapter)',
  'var(--data-run-2)',
  'var(--data-run-3)',
  'var(--data-run-4)',
];

export function markColour({ kind, series }: Marked): string {
  if (kind !== 'adapter') return `var(--data-${kind})`;
  return ADAPTER_COLOURS[series % ADAPTER_COLOURS.length] ?? 'var(--data-adapter)';
}

/** Path data of the mark around (0, 0); `size` is its area in square pixels. */
export function markPath({ kind, series }: Marked, size: number): string {
  const shapes = { base: symbolCircle, preamble: symbolSquare, guarded: symbolDiamond } as const;
  const shape =
    kind === 'adapter'
      ? (ADAPTER_SHAPES[series % ADAPTER_SHAPES.length] ?? symbolTriangle)
      : shapes[kind];
  return symbol(shape, size)() ?? '';
}
