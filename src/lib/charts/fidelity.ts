/** How near a student is to the safe system, in words and marks: bound and calibration panels. */
import type { BoundEstimate } from '../../distill/evaluation/bound';
import { percent } from './format';
import type { BoundMeasurement, Calibration } from '../../distill/types';

export type BoundKind = 'sequenceTv' | 'coupling' | 'tokenSum';

export const BOUND_WORDS: Readonly<Record<BoundKind, string>> = {
  sequenceTv: 'TV of answers',
  coupling: 'C, coupling',
  tokenSum: 'Σ of token TVs',
};

/** The three estimates as the chart draws them. */
export const BOUND_SERIES: readonly { kind: BoundKind; colour: string; dash?: string }[] = [
  { kind: 'sequenceTv', colour: 'var(--data-adapter)' },
  { kind: 'coupling', colour: 'var(--data-preamble)', dash: '7 3' },
  { kind: 'tokenSum', colour: 'var(--data-base)', dash: '2 3' },
];

export interface BoundMark extends BoundEstimate {
  /** Tokens; the last one is the longest answer. */
  horizon: number;
  /** Beyond what the axis shows, which ends at 1: no TV is larger. */
  clipped: boolean;
}

/** One estimate by horizon; nothing where tokens' own distributions are not known. */
export function boundMarks({ bound }: BoundMeasurement, kind: BoundKind): BoundMark[] {
  return (bound?.horizons ?? []).map((at) => {
    const { value, low, high } = at[kind];
    return { horizon: at.horizon, value, low, high, clipped: value > 1 };
  });
}

/** "0.31 [0.12, 0.50]". */
export function estimateText({ value, low, high }: BoundEstimate): string {
  return `${value.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
}

/** What the figures say, for people who will not read the chart. */
export function boundSummary(measured: BoundMeasurement): string {
  const { sequenceTv, event, prompts } = measured;
  const more = event.gap > 0 ? 'more' : 'less';
  const refusing =
    Math.abs(event.gap) < 0.005
      ? 'says a known refusal as often'
      : `says a known refusal ${more} often by ${percent(Math.abs(event.gap))}`;
  return (
    `On ${prompts} questions, answers differ from the safe system’s by a total variation of ` +
    `${estimateText(sequenceTv)}; the student ${refusing}. No rate of anything, safety ` +
    `included, differs by more than ${percent(sequenceTv.high, 0)}, with 95 % confidence.`
  );
}

/** Share of the bound that is real: TV over Σ at the longest horizon, or null. */
export function tightnessText({ bound }: BoundMeasurement): string | null {
  const last = bound?.horizons.at(-1);
  if (!last || !(last.tokenSum.value > 0)) return null;
  const ratio = last.tokenSum.value / last.sequenceTv.value;
  if (!Number.isFinite(ratio)) return null;
  // Each is estimated on its own, so that a small Σ may even come out below.
  return ratio < 1.1
    ? 'Σ, which training lowers, is about as small as TV'
    : `Σ, which training lowers, is ${ratio.toFixed(1)} times TV`;
}

/** "refuses 3.2 points more than its teacher; calibration error 4.1 %, …". */
export function calibrationText({ bias, error, chance, n }: Calibration): string {
  if (n === 0) return 'not measured';
  const points = (100 * Math.abs(bias)).toFixed(1);
  const more =
    Math.abs(bias) < 5e-4
      ? 'refuses as often as its teacher'
      : `refuses ${points} points ${bias > 0 ? 'more' : 'less'} than its teacher`;
  const beyond = error > chance.high ? 'more than' : 'within';
  return `${more}; calibration error ${percent(error)}, ${beyond} the ${percent(chance.high)} of chance`;
}
