/** What a person at the terminal is told while a run works. */
import type { RunControl } from '../distill/train/control';
import type { RunHooks, RunPhase } from '../distill/train/run';
import type { StepRecord } from '../distill/types';

export type Say = (line: string) => void;

/** Says every `every`th step, and the first. */
export function stepReporter(
  say: Say,
  { every, steps, indent = '' }: { every: number; steps?: number; indent?: string },
): NonNullable<RunHooks['onStep']> {
  return ({ step, loss, gradientNorm, seconds, policy }, { secondsLeft }) => {
    if (step % every !== 0 && step !== 1) return;
    say(
      `${indent}step ${step}${steps === undefined ? '' : `/${steps}`}: loss ${loss.toFixed(4)}, gradient ` +
        `${gradientNorm.toExponential(1)}${policyText(policy)}, ${seconds.toFixed(2)} s a step, ` +
        `${Math.round(secondsLeft)} s left`,
    );
  };
}

function policyText(policy: StepRecord['policy']): string {
  return policy ? `, safe ${policy.safe.toFixed(2)}, KL ${policy.kl.toFixed(2)}` : '';
}

/** Says every tenth of a phase once. */
export function phaseReporter(say: Say): NonNullable<RunHooks['onProgress']> {
  const said = new Map<RunPhase, number>();
  return (phase: RunPhase, done: number, total: number) => {
    // Training prints its own steps.
    const tenth = Math.floor((10 * done) / Math.max(1, total));
    if (phase === 'train' || said.get(phase) === tenth) return;
    said.set(phase, tenth);
    say(`${phase}: ${done}/${total}`);
  };
}

/** The first interrupt ends training and scores what there is; another one, later, gives up. */
export function stopOnInterrupt(control: RunControl, say: Say): void {
  let first = 0;
  process.on('SIGINT', () => {
    if (first === 0) {
      first = performance.now();
      say('Stopping after this step; interrupt again to give up.');
      control.stop();
    } else if (performance.now() - first > 1000) {
      // The launcher passes on the interrupt that the terminal sent to us already.
      process.exit(130);
    }
  });
}
