/** `--eval`: a file of prompts, with or without a shared prompt. */
import type { Adaptation } from '../distill/adapters/adaptation';
import { contentHash, limitItems } from '../distill/data/dataset';
import { evaluate } from '../distill/evaluation/evaluate';
import { measureExtras } from '../distill/evaluation/extras';
import { sharedVectors } from '../distill/adapters/parametrisation';
import { fittingPrompts, type ImportedSet } from '../distill/data/imported-prompts';
import { recipeOfShare } from '../distill/train/share-recipe';
import type { Recipe, SystemName } from '../distill/types';
import { decodeShare, type SharedPrompt, ShareLinkError } from '../formats/share/share-link';
import { type Arguments, UsageError } from './args';
import { phaseReporter } from './progress';
import { answersOf, reported, summary } from './report';
import { room, type Session } from './session';

/** Evaluates on a file, with or without a shared prompt. */
export async function evaluateFile(
  { args, deps, environment, settings, extras, say }: Session,
  set: ImportedSet,
): Promise<object> {
  const { preamble } = deps.domain;
  const opened = sharedPrompt(args);
  const shared = opened?.shared;
  const teacher = opened ? taughtBy(args.recipe, opened.recipe) : args.recipe;
  const fitting = fittingPrompts(set.items, { ...room(teacher, deps), system: preamble });
  const tooLong = set.items.length - fitting.length;
  if (tooLong > 0) say(`Left out: ${tooLong} prompts that are too long for this student.`);
  const items = limitItems(fitting, args.limit);
  if (items.length === 0) throw new UsageError(`No prompt of ${args.eval!} fits this student.`);
  if (shared && (shared.modelId !== settings.modelId || shared.d !== deps.engine.dim)) {
    throw new UsageError(`--prompt was trained for another student than ${settings.student}.`);
  }
  const systems: SystemName[] = ['base', 'preamble', 'guarded'];
  if (shared) systems.push('adapter');
  const { guardCase } = teacher;
  const adaptation: Adaptation = shared
    ? { kind: 'soft-prompt', values: await sharedVectors(shared, deps.engine, deps.chat) }
    : null;
  const start = performance.now();
  const onProgress = phaseReporter(say);
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
  const measured = await measureExtras(teacher, adaptation, items, deps, extras);
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
export function sharedPrompt({
  prompt,
}: Pick<Arguments, 'prompt'>): { shared: SharedPrompt; recipe: Recipe } | null {
  if (prompt === null) return null;
  try {
    const shared = decodeShare(prompt);
    return { shared, recipe: recipeOfShare(shared) };
  } catch (error) {
    if (error instanceof ShareLinkError) throw new UsageError(`--prompt: ${error.message}`);
    throw error;
  }
}

/** What is asked for, with the system that a shared prompt was trained towards. */
function taughtBy(asked: Recipe, trained: Recipe): Recipe {
  const { adapter, objective, guardCase, strictness, guardTemperature, guardClip } = trained;
  return {
    ...asked,
    ...{ adapter, objective, guardCase, strictness, guardTemperature, guardClip },
  };
}
