/** Series of the live curves, in the columns that the chart library takes. */
import type { ProbeRecord, StepRecord } from '../../distill/types';

/**
 * Exponential mean with its cold start corrected, as Adam does it, so that the curve starts at the
 * first value and not at zero.
 */
export function smooth(values: readonly number[], decay = 0.9): number[] {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    sum = decay * sum + (1 - decay) * value;
    weight = decay * weight + (1 - decay);
    return sum / weight;
  });
}

/** [step, loss, smoothed loss]. */
export function stepSeries(steps: readonly StepRecord[]): [number[], number[], number[]] {
  const loss = steps.map((s) => s.loss);
  return [steps.map((s) => s.step), loss, smooth(loss)];
}

type Column = number[];

/** [step, safety, usefulness, over-refusal, safety's upper end, safety's lower end]. */
export function probeSeries(
  probes: readonly ProbeRecord[],
): [Column, Column, Column, Column, Column, Column] {
  return [
    probes.map((p) => p.step),
    probes.map((p) => p.safety.value),
    probes.map((p) => p.usefulness.value),
    probes.map((p) => p.overRefusal.value),
    probes.map((p) => p.safety.high),
    probes.map((p) => p.safety.low),
  ];
}
