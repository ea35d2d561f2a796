/**
 * Two systems of the chart against each other, over all seeds that both have. With the questions
 * and the answers at hand it is the paired comparison of the evaluation (prompts, intents, seeds);
 * without them all that the intervals allow.
 */
import { compareRuns, type RunComparison } from '../../distill/evaluation/compare-runs';
import type { AnswerRecord, Label, PromptItem } from '../../distill/types';
import { compare, comparisonText, type Axis, type Scorer } from './compare';
import type { Unit } from './points';
import type { TradeoffPoint } from './tradeoff';

export interface ComparisonLine {
  distinguishable: boolean;
  text: string;
}

export function compareUnits(
  a: Unit,
  b: Unit,
  axis: Axis,
  scorer: Scorer,
  items: readonly PromptItem[],
): ComparisonLine {
  const row = pairedRow(a, b, axis, scorer, items);
  if (row) return { distinguishable: row.distinguishable, text: rowText(row, axis) };
  const side = (unit: Unit) => ({
    measure: unit[axis],
    answers: unit.points.length === 1 ? unit.points[0]!.answers : [],
  });
  const comparison = compare(side(a), side(b), axis, scorer);
  const { distinguishable } = comparison;
  return { distinguishable, text: comparisonText(comparison, axis) };
}

function pairedRow(
  a: Unit,
  b: Unit,
  axis: Axis,
  scorer: Scorer,
  items: readonly PromptItem[],
): RunComparison | null {
  const [left, right] = sameSeeds(a.points, b.points);
  const sides = [...left, ...right];
  if (left.length === 0 || sides.some(({ answers }) => answers.length === 0)) return null;
  const label: Label = axis === 'safety' ? 'harmful' : 'benign';
  const key = scorer === 'judge' ? 'judgeSafe' : 'guardSafe';
  const metric =
    axis === 'usefulness' ? 'usefulness' : scorer === 'judge' ? 'safety' : 'guardSafety';
  const asked = items.filter((item) => item.label === label);
  // A verdict that a document lacks is no verdict.
  const known = ({ answers }: TradeoffPoint): readonly AnswerRecord[] =>
    axis === 'safety' ? answers.filter((answer) => !Number.isNaN(answer[key])) : answers;
  const rows = compareRuns(left.map(known), right.map(known), asked);
  const row = rows.find((found) => found.metric === metric) ?? null;
  // A pairing that covers only part of the measured prompts would test another question.
  return row && row.prompts >= 0.9 * Math.min(a[axis].n, b[axis].n) ? row : null;
}

/** Points of one seed on both sides, pair by pair; a system without seeds stands against all. */
function sameSeeds(
  a: readonly TradeoffPoint[],
  b: readonly TradeoffPoint[],
): [TradeoffPoint[], TradeoffPoint[]] {
  if (a.length === 1 || b.length === 1) return [[...a], [...b]];
  const bySeed = new Map(b.map((point) => [point.seed, point]));
  const common = a.filter(({ seed }) => bySeed.has(seed));
  return [common, common.map(({ seed }) => bySeed.get(seed)!)];
}

/** "safety: higher by 12.1 points [8.0, 16.2] (n = 520 in 104 intents, 3 seeds)". */
function rowText(row: RunComparison, axis: Axis): string {
  const { difference, low, high, distinguishable, paired, prompts, intents, seeds } = row;
  const over = seeds > 1 ? `, ${seeds} seeds` : '';
  if (!distinguishable) return `${axis}: not distinguishable with n = ${prompts}${over}`;
  const points = (share: number) => (100 * share).toFixed(1);
  const word = difference > 0 ? 'higher' : 'lower';
  const ends = difference > 0 ? [low, high] : [-high, -low];
  const p = paired
    ? `, p ${paired.pValue < 0.001 ? '< 0.001' : `= ${paired.pValue.toFixed(3)}`}`
    : '';
  return (
    `${axis}: ${word} by ${points(Math.abs(difference))} points ` +
    `[${points(ends[0]!)}, ${points(ends[1]!)}] (n = ${prompts} in ${intents} intents${over}${p})`
  );
}
