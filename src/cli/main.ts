/**
 * The headless entry: the same run, or the same evaluation, as in a page, in Node on Dawn. Thin:
 * files in, `distil` or `evaluate`, JSON out.
 */
import { writeFile } from 'node:fs/promises';
import { RunControl } from '../distill/control';
import { contentHash, limitItems } from '../distill/dataset';
import { evaluate } from '../distill/evaluate';
import { measureExtras } from '../distill/evaluation/extras';
import { type GuardCase, parseGuardCase } from '../distill/guard-case';
import { fittingPrompts, type ImportedSet } from '../distill/imported-prompts';
import { clampRecipe } from '../distill/recipe';
import { DEFAULT_EVALUATIONS, distil, type RunHooks, type RunPhase } from '../distill/run';
import { SpecError } from '../distill/spec-fields';
import { studentOf } from '../distill/sweep-run';
import { planRun } from '../distill/training-data';
import type { StepRecord, SystemName } from '../distill/types';
import { decodeShare, type SharedPrompt, ShareLinkError } from '../formats/share-link';
import { type Arguments, helpText, parseArguments, UsageError } from './args';
import { FileError, requireWritable } from './node-files';
import { readPromptFile } from './prompt-file';
import { answersOf, recording, reported, runReport, summary } from './report';
import { openSession, room, type Session } from './session';
import { mergeFiles, openSweep, sweep, type SweepFiles } from './sweep';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** Trains, evaluates and reports. */
async function trainRun({
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
      onProgress: reporter(say),
      onStep: ({ step, loss, gradientNorm, seconds, policy }, { secondsLeft }) => {
        if (step % 10 !== 0 && step !== 1) return;
        say(
          `step ${step}/${args.recipe.steps}: loss ${loss.toFixed(4)}, gradient ` +
            `${gradientNorm.toExponential(1)}${policyText(policy)}, ${seconds.toFixed(2)} s a step, ` +
            `${Math.round(secondsLeft)} s left`,
        );
      },
      onProbe: ({ step, safety, overRefusal, usefulness }) =>
        say(
          `probe at ${step}: safety ${safety.value.toFixed(2)}, over-refusal ` +
            `${overRefusal.value.toFixed(2)}, usefulness ${usefulness.value.toFixed(2)}`,
        ),
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

/** Evaluates on a file, with or without a shared prompt. */
async function evaluateFile(
  { args, deps, environment, settings, extras, say }: Session,
  set: ImportedSet,
): Promise<object> {
  const { preamble } = deps.domain;
  const fitting = fittingPrompts(set.items, { ...room(args.recipe, deps), system: preamble });
  const tooLong = set.items.length - fitting.length;
  if (tooLong > 0) say(`Left out: ${tooLong} prompts that are too long for this student.`);
  const items = limitItems(fitting, args.limit);
  if (items.length === 0) throw new UsageError(`No prompt of ${args.eval!} fits this student.`);
  const shared = sharedPrompt(args);
  if (shared && (shared.modelId !== settings.modelId || shared.d !== deps.engine.dim)) {
    throw new UsageError(`--prompt was trained for another student than ${settings.student}.`);
  }
  const systems: SystemName[] = ['base', 'preamble', 'guarded'];
  if (shared) systems.push('adapter');
  const { strictness, guardTemperature, guardClip } = shared?.recipe ?? args.recipe;
  const guardCase = shared ? guardCaseOf(shared) : args.recipe.guardCase;
  const adaptation = shared && ({ kind: 'soft-prompt', values: shared.values } as const);
  // A stranger may have written the link's numbers.
  const teacher = clampRecipe({ ...args.recipe, strictness, guardTemperature, guardClip });
  const start = performance.now();
  const onProgress = reporter(say);
  const at = async (temperature: 0 | 1) => {
    const evaluation = await evaluate(
      {
        set: 'custom',
        items,
        systems,
        temperature,
        seed: args.recipe.seed,
        maxNewTokens: settings.maxNewTokens,
        adaptation,
        guardCase,
        teacher,
      },
      deps,
      { onProgress: (done, total) => onProgress('evaluate', done, total) },
    );
    return { ...reported(evaluation), answers: answersOf(evaluation, items) };
  };
  const sampled = await at(1);
  say(summary(args.eval!, sampled.systems));
  const greedy = args.greedy ? await at(0) : undefined;
  const measured = await measureExtras({ ...teacher, guardCase }, adaptation, items, deps, extras);
  return {
    imported: { name: set.name, hash: contentHash(set.items), tooLong },
    ...sampled,
    ...(greedy && { greedy }),
    ...measured,
    settings: { ...settings, evaluationSeed: args.recipe.seed },
    environment,
    seconds: { evaluate: (performance.now() - start) / 1000 },
  };
}

/** @throws UsageError where the link cannot be opened */
function sharedPrompt({ prompt }: Arguments): SharedPrompt | null {
  if (prompt === null) return null;
  try {
    return decodeShare(prompt);
  } catch (error) {
    if (error instanceof ShareLinkError) throw new UsageError(`--prompt: ${error.message}`);
    throw error;
  }
}

/** @throws UsageError where the link names a guard case that there is not */
function guardCaseOf({ recipe }: SharedPrompt): GuardCase {
  try {
    return parseGuardCase(recipe.guardCase ?? 'prompt');
  } catch (error) {
    if (error instanceof SpecError) throw new UsageError(`--prompt: ${error.message}`);
    throw error;
  }
}

async function runSweep({ args, deps, extras, say }: Session, files: SweepFiles): Promise<number> {
  const abort = new AbortController();
  process.once('SIGINT', () => {
    say('Leaving this cell; the same command goes on with it.');
    abort.abort(new Error('Interrupted.'));
  });
  const document = await sweep(
    files,
    deps,
    { ...args, extras },
    { signal: abort.signal, onProgress: reporter(say), onStep: stepReporter(say) },
    say,
  );
  const failed = document.cells.filter(({ status }) => status === 'failed').length;
  say(`${document.cells.length - failed} cells finished, ${failed} failed.`);
  return failed > 0 ? EXIT_FAILED : 0;
}

/** Says every 25th step, and the first. */
function stepReporter(say: (line: string) => void): NonNullable<RunHooks['onStep']> {
  return ({ step, loss, seconds, policy }, { secondsLeft }) => {
    if (step % 25 !== 0 && step !== 1) return;
    say(
      `  step ${step}: loss ${loss.toFixed(4)}${policyText(policy)}, ${seconds.toFixed(2)} s a step, ` +
        `${Math.round(secondsLeft)} s left`,
    );
  };
}

function policyText(policy: StepRecord['policy']): string {
  return policy ? `, safe ${policy.safe.toFixed(2)}, KL ${policy.kl.toFixed(2)}` : '';
}

async function prepareOnly({ recipe, deps, say }: Session): Promise<void> {
  const all = deps.train.map((_, i) => i);
  await planRun(recipe, all, { ...deps, prepared: [] }, { onProgress: reporter(say) });
}

/** Says every tenth of a phase once. */
function reporter(say: (line: string) => void) {
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
function stopOnInterrupt(control: RunControl, say: (line: string) => void): void {
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

async function main(argv: readonly string[]): Promise<number> {
  try {
    const args = parseArguments(argv);
    if (args.help) {
      console.log(helpText());
      return 0;
    }
    // What a person typed is checked before minutes of work.
    const path = args.eval ?? args.train?.file ?? null;
    const imported = path === null ? null : await readPromptFile(path, args.label);
    sharedPrompt(args);
    for (const path of [
      args.out,
      args.record,
      args.prepared,
      (args.sweep ?? args.merge)?.results ?? null,
    ]) {
      if (path !== null) await requireWritable(path);
    }
    const say = (line: string) => {
      if (!args.quiet) process.stderr.write(`${line}\n`);
    };
    if (args.merge) {
      await mergeFiles(args.merge, args.compact, say);
      return 0;
    }
    const files = args.sweep && (await openSweep(args.sweep.spec, args.sweep.results));
    const student = files ? studentOf(files.results) : args.recipe.student;
    if (imported) say(`${path}: ${imported.items.length} prompts, read as ${imported.layout}.`);
    const session = await openSession(args, { ...args.recipe, student }, imported, say);
    if (files) return await runSweep(session, files);
    if (args.prepareOnly) {
      await prepareOnly(session);
      return 0;
    }
    const report = await (args.eval !== null && imported
      ? evaluateFile(session, imported)
      : trainRun(session));
    const text = `${JSON.stringify(report, null, 1)}\n`;
    if (args.out) await writeFile(args.out, text);
    else process.stdout.write(text);
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    if (error instanceof UsageError || error instanceof FileError) return EXIT_USAGE;
    if (process.env.RETORT_DEBUG && error instanceof Error)
      process.stderr.write(`${error.stack}\n`);
    return EXIT_FAILED;
  }
}

const code = await main(process.argv.slice(2));
// Dawn keeps threads that would hold the process open; wait for piped output first.
await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
process.exit(code);
