/**
 * The headless entry: the same run, or the same evaluation, as in a page, in Node on Dawn. Thin:
 * files in, `distil` or `evaluate`, JSON out.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, globals } from 'webgpu';
import packageJson from '../../package.json';
import { ChatTokenizer } from '../distill/chat';
import { RunControl } from '../distill/control';
import { DatasetError, limitItems, parsePromptItems } from '../distill/dataset';
import { evaluate } from '../distill/evaluate';
import { type ExtraOptions, measureExtras } from '../distill/evaluation/extras';
import { type GuardCase, parseGuardCase } from '../distill/guard-case';
import { clampRecipe, EVALUATION_SEED } from '../distill/recipe';
import {
  DEFAULT_EVALUATIONS,
  distil,
  type RunDeps,
  type RunHooks,
  type RunPhase,
} from '../distill/run';
import { SpecError } from '../distill/spec-fields';
import { studentOf } from '../distill/sweep-run';
import { planRun } from '../distill/training-data';
import type { PromptItem, Recipe, StepRecord, SystemName } from '../distill/types';
import { Engine } from '../engine/engine';
import { decodeShare, type SharedPrompt, ShareLinkError } from '../formats/share-link';
import { Gpu } from '../kernels/gpu';
import { type Arguments, helpText, parseArguments, UsageError } from './args';
import {
  bundledData,
  FileError,
  jsonOf,
  modelFiles,
  openModel,
  optionalJson,
  requireWritable,
  textOf,
} from './node-files';
import { NodeGuard } from './node-guard';
import {
  answersOf,
  type EvaluationSettings,
  recording,
  type ReportEnvironment,
  reported,
  runReport,
  summary,
} from './report';

import { mergeFiles, openSweep, sweep, type SweepFiles } from './sweep';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const COST_ROUNDS = 5;

interface Session {
  args: Arguments;
  deps: RunDeps;
  environment: ReportEnvironment;
  settings: EvaluationSettings;
  extras: ExtraOptions;
  say: (line: string) => void;
}

/** Dawn's instance must outlive its devices: a collected one ends the process. */
let instance: GPU | null = null;

function dawn(): GPU {
  Object.assign(globalThis, globals);
  instance ??= create([]);
  return instance;
}

async function open(
  args: Arguments,
  recipe: Recipe,
  say: (line: string) => void,
): Promise<Session> {
  const { models, data } = args;
  const [student, guard, judge] = await Promise.all(
    [recipe.student, 'guard', 'judge'].map((name) => openModel(models, name)),
  );
  const { train, wording, intent, domain } = await bundledData(data);
  const gpu = await Gpu.create(dawn());
  const adapter = gpu.description.description || gpu.description.device || 'unnamed adapter';
  const driver = process.env.RETORT_GPU_DRIVER ?? 'unknown driver';
  say(`GPU: ${adapter}, ${driver}`);
  const [files, config, tokenizer, tokenizerConfig] = await Promise.all([
    modelFiles(student!),
    jsonOf(join(student!.path, 'config.json')),
    jsonOf(join(student!.path, 'tokenizer.json')),
    jsonOf(join(student!.path, 'tokenizer_config.json')),
  ]);
  const engine = await Engine.load(gpu, files.files, config);
  await files.close();
  const chat = new ChatTokenizer(tokenizer as object, tokenizerConfig as object);
  const environment: ReportEnvironment = {
    commit: __COMMIT__,
    version: packageJson.version,
    runtime: `Node ${process.versions.node}, Dawn`,
    adapter,
    software: gpu.description.isFallbackAdapter,
    driver,
    versions: {
      node: process.versions.node,
      webgpu: versionOf('webgpu'),
      'onnxruntime-web': versionOf('onnxruntime-web'),
      '@huggingface/tokenizers': versionOf('@huggingface/tokenizers'),
      [student!.manifest.id]: student!.manifest.version,
      [guard!.manifest.id]: guard!.manifest.version,
      [judge!.manifest.id]: judge!.manifest.version,
    },
  };
  const shipped = join(data, `prepared-${recipe.student}.json`);
  return {
    args,
    say,
    environment,
    settings: {
      student: recipe.student,
      modelId: student!.id,
      temperature: 1,
      evaluationSeed: EVALUATION_SEED,
      maxNewTokens: recipe.maxNewTokens,
      limit: args.limit,
    },
    extras: {
      bound: args.bound,
      cost: args.cost ? COST_ROUNDS : 0,
      bytes: {
        student: engine.weightBytes,
        guard: guard!.manifest.files.reduce((sum, { bytes }) => sum + bytes, 0),
      },
    },
    deps: {
      engine,
      chat,
      guard: await NodeGuard.load(guard!),
      judge: await NodeGuard.load(judge!),
      domain,
      ids: { student: student!.id, guard: guard!.id, judge: judge!.id },
      train,
      sets: { wording, intent },
      environment,
      prepared: args.fresh ? [] : [() => optionalJson(shipped)],
      savePrepared: async (_, prepared) => {
        if (args.prepared) await writeFile(args.prepared, `${JSON.stringify(prepared)}\n`);
      },
    },
  };
}

/** Trains, evaluates and reports. */
async function trainRun({
  args,
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
    args.recipe,
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
async function evaluateFile({
  args,
  deps,
  environment,
  settings,
  extras,
  say,
}: Session): Promise<object> {
  const items = limitItems(await promptsOf(args.eval!), args.limit);
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
    ...sampled,
    ...(greedy && { greedy }),
    ...measured,
    settings: { ...settings, evaluationSeed: args.recipe.seed },
    environment,
    seconds: { evaluate: (performance.now() - start) / 1000 },
  };
}

/** @throws FileError, UsageError where the file is no prompt set */
async function promptsOf(path: string): Promise<PromptItem[]> {
  const text = await textOf(path);
  try {
    return parsePromptItems(text);
  } catch (error) {
    if (error instanceof DatasetError) throw new UsageError(`${path}: ${error.message}`);
    throw error;
  }
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

async function prepareOnly({ args, deps, say }: Session): Promise<void> {
  const all = deps.train.map((_, i) => i);
  await planRun(args.recipe, all, { ...deps, prepared: [] }, { onProgress: reporter(say) });
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

/** Dependencies are pinned, so what package.json says is what runs. */
function versionOf(name: keyof typeof packageJson.dependencies): string {
  return packageJson.dependencies[name];
}

async function main(argv: readonly string[]): Promise<number> {
  try {
    const args = parseArguments(argv);
    if (args.help) {
      console.log(helpText());
      return 0;
    }
    // What a person typed is checked before minutes of work.
    if (args.eval !== null) await promptsOf(args.eval);
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
    const session = await open(args, { ...args.recipe, student }, say);
    if (files) return await runSweep(session, files);
    if (args.prepareOnly) {
      await prepareOnly(session);
      return 0;
    }
    const report = await (args.eval === null ? trainRun(session) : evaluateFile(session));
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
