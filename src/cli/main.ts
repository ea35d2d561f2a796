/**
 * The headless entry: the same run, or the same evaluation, as in a page, in Node on Dawn. Thin:
 * files in, `distil` or `evaluate`, JSON out.
 */
import { writeFile } from 'node:fs/promises';
import { modelsOf } from '../distill/sweep/sweep-run';
import { planRun } from '../distill/train/training-data';
import { helpText, parseArguments, UsageError } from './args';
import { evaluateFile, sharedPrompt } from './evaluate-file';
import { FileError, requireWritable } from './node-files';
import { phaseReporter, stepReporter } from './progress';
import { readPromptFile } from './prompt-file';
import { openSession, type Session } from './session';
import { mergeFiles, openSweep, sweep, type SweepFiles } from './sweep';
import { trainRun } from './train';

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

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
    {
      signal: abort.signal,
      onProgress: phaseReporter(say),
      onStep: stepReporter(say, { every: 25, indent: '  ' }),
    },
    say,
  );
  const failed = document.cells.filter(({ status }) => status === 'failed').length;
  say(`${document.cells.length - failed} cells finished, ${failed} failed.`);
  return failed > 0 ? EXIT_FAILED : 0;
}

async function prepareOnly({ recipe, deps, say }: Session): Promise<void> {
  const all = deps.train.map((_, i) => i);
  await planRun(recipe, all, { ...deps, prepared: [] }, { onProgress: phaseReporter(say) });
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
    const imported = path === null ? null : await readPromptFile(path, args);
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
    for (const line of imported?.lines ?? []) say(`${path}: ${line}`);
    const session = await openSession(
      args,
      { ...args.recipe, ...(files && modelsOf(files.results)) },
      imported,
      say,
    );
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
