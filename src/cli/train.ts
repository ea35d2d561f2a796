/** A single run: trained, evaluated and reported. */
import { writeFile } from 'node:fs/promises';
import { RunControl } from '../distill/train/control';
import { DEFAULT_EVALUATIONS, distil } from '../distill/train/run';
import { phaseReporter, stepReporter, stopOnInterrupt } from './progress';
import { probeText, recording, runReport, summary } from './report';
import type { Session } from './session';

/** Trains, evaluates and reports. */
export async function trainRun({
  args,
  recipe,
  deps,
  environment,
  settings,
  extras,
  say,
}: Session): Promise<object> {
  const control = new RunControl();
  stopOnInterrupt(control, say);
  const sampled = args.evaluate ? DEFAULT_EVALUATIONS : [];
  const greedy = args.greedy ? sampled.map((e) => ({ ...e, temperature: 0 as const })) : [];
  const record = await distil(
    recipe,
    deps,
    {
      control,
      onProgress: phaseReporter(say),
      onStep: stepReporter(say, { every: 10, steps: args.recipe.steps }),
      onProbe: (probe) => say(probeText(probe)),
    },
    { evaluations: [...sampled, ...greedy], limit: args.limit, extras },
  );
  const report = runReport(record, settings, environment);
  if (args.evaluate) {
    say(summary('wording', report.systems));
    say(summary('intent', report.systemsIntent));
  }
  if (args.record) await writeFile(args.record, `${JSON.stringify(recording(record))}\n`);
  return report;
}
