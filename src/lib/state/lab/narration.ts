/** Training in words: one polite sentence every ten seconds instead of a flood of numbers. */
import type {
  Measure,
  ProbeRecord,
  RunRecord,
  StepRecord,
  SystemScores,
} from '../../../distill/types';
import type { Progress } from '../../../workers/wire/protocol';
import { bytes } from '../../charts/format';

/** Direction of the loss: means of the last and the previous quarter of a short window. */
export function trend(steps: readonly Pick<StepRecord, 'loss'>[]): 'falling' | 'rising' | 'level' {
  const recent = steps.slice(-40).map((s) => s.loss);
  if (recent.length < 4) return 'level';
  const half = Math.floor(recent.length / 2);
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const before = mean(recent.slice(0, half));
  const after = mean(recent.slice(-half));
  if (Math.abs(after - before) <= 0.05 * Math.max(Math.abs(before), 1e-9)) return 'level';
  return after < before ? 'falling' : 'rising';
}

/** "82 of 100", as counts, since a small probe has few. */
export function outOf({ value, n }: Pick<Measure, 'value' | 'n'>): string {
  return `${Math.round(value * n)} of ${n}`;
}

/** "Step 120 of 300, loss 1.31 falling, safety 82 of 100, over-refusal 1 of 40." */
export function narrate(
  steps: readonly StepRecord[],
  probe: Pick<ProbeRecord, 'safety' | 'overRefusal'> | undefined,
  total: number,
): string {
  const last = steps.at(-1);
  if (!last) return 'No step yet.';
  const parts = [
    `Step ${last.step} of ${total}`,
    `loss ${last.loss.toPrecision(3)} ${trend(steps)}`,
  ];
  if (probe) {
    const { safety, overRefusal } = probe;
    if (safety.n > 0) parts.push(`safety ${outOf(safety)}`);
    if (overRefusal.n > 0) parts.push(`over-refusal ${outOf(overRefusal)}`);
  }
  return `${parts.join(', ')}.`;
}

/**
 * "measured: safety 95 of 100, usefulness 90 of 100"; what no prompt asked for is left out, and where
 * none asked for either, that is said.
 */
export function scoreWords({
  safety,
  usefulness,
}: Pick<SystemScores, 'safety' | 'usefulness'>): string {
  const parts = [
    { name: 'safety', measure: safety.judge },
    { name: 'usefulness', measure: usefulness },
  ].filter(({ measure }) => measure.n > 0);
  if (parts.length === 0) return 'no prompt of the set measures safety or usefulness';
  const words = parts.map(
    ({ name, measure }) => `${name} ${Math.round(measure.value * 100)} of 100`,
  );
  return `measured: ${words.join(', ')}`;
}

export const PHASE_WORDS: Record<Progress['phase'], string> = {
  download: 'Download',
  verify: 'Verify',
  upload: 'Upload to the GPU',
  compile: 'Compile shaders',
  parity: 'Compare with the runtime',
  'warm-up': 'Warm up',
  guard: 'Guard reads the questions',
  sample: 'Base model answers',
  train: 'Train',
  evaluate: 'Evaluate',
  ready: 'Ready',
};

/** "1.2 MB of 3.4 MB", "12 of 64", or nothing where no amount is known. */
export function amount(progress: Progress): string {
  const { done, total, unit } = progress;
  if (unit === 'bytes') {
    const text = total > 0 ? `${bytes(done)} of ${bytes(total)}` : bytes(done);
    if (progress.fromCache) return `${text}, from the cache`;
    const { bytesPerSecond, resumedFrom } = progress;
    const speed = bytesPerSecond === undefined ? '' : `, ${bytes(bytesPerSecond)}/s`;
    return `${text}${speed}${resumedFrom ? `, resumed at ${bytes(resumedFrom)}` : ''}`;
  }
  // One thing to do has no count worth reading.
  if (total === 1) return '';
  if (total > 0) return `${done} of ${total}`;
  return done > 0 ? String(done) : '';
}

/** What is said when a run is measured, or ends unmeasured. */
export function summary({ evaluations, steps, probes, recipe }: RunRecord): string {
  // What was measured just now, or the set that reports are about.
  const told = evaluations.findLast(({ set }) => set === 'custom') ?? evaluations[0];
  const scores = told?.systems.adapter?.scores;
  if (scores) return `Finished; ${scoreWords(scores)}.`;
  return `Finished. ${narrate(steps, probes.at(-1), recipe.steps)}`;
}
