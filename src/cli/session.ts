/** What a run of the command line has open: models, prompts, the GPU. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, globals } from 'webgpu';
import packageJson from '../../package.json';
import { virtualTokens } from '../distill/adapters/adaptation';
import type { ExtraOptions } from '../distill/evaluation/extras';
import {
  type FitOptions,
  type ImportedSet,
  recipeData,
  trainingPrompts,
} from '../distill/data/imported-prompts';
import { EVALUATION_SEED } from '../distill/train/recipe';
import type { RunDeps } from '../distill/train/run';
import type { Recipe } from '../distill/types';
import { Engine } from '../engine/engine';
import { Gpu } from '../kernels/gpu/gpu';
import type { ModelSource } from '../formats/model-source';
import { parseGuardText, parseSourceText, sourceText } from '../formats/source-text';
import { type Arguments, UsageError } from './args';
import {
  bundledData,
  chatTokenizer,
  jsonOf,
  modelFiles,
  openModel,
  optionalJson,
} from './node-files';
import { NodeGuard } from './node-guard';
import { tryTokenizerOf } from './tokenizer-trial';
import type { EvaluationSettings, ReportEnvironment } from './report';

const COST_ROUNDS = 5;

export interface Session {
  args: Arguments;
  /** With the imported prompts in it, where there are some. */
  recipe: Recipe;
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

/** Opens models, data and the GPU; `imported` is what --train or --eval names. */
export async function openSession(
  args: Arguments,
  asked: Recipe,
  imported: ImportedSet | null,
  say: (line: string) => void,
): Promise<Session> {
  const recipe =
    imported && args.train ? { ...asked, data: recipeData(imported, args.train.prompts) } : asked;
  const { models, data } = args;
  const named = bundledModels(recipe);
  const [student, guard, judge] = await Promise.all(
    [named.student, named.guard, 'judge'].map((name) => openModel(models, name)),
  );
  // A folder of models is whoever's: its tokenizers are read here once they have come to an end.
  await Promise.all([student, guard, judge].map((model) => tryTokenizerOf(model!)));
  const { train, wording, intent, domain } = await bundledData(data);
  const gpu = await Gpu.create(dawn());
  const adapter = gpu.description.description || gpu.description.device || 'unnamed adapter';
  const driver = process.env.RETORT_GPU_DRIVER ?? 'unknown driver';
  say(`GPU: ${adapter}, ${driver}`);
  const [files, config, chat] = await Promise.all([
    modelFiles(student!),
    jsonOf(join(student!.path, 'config.json')),
    chatTokenizer(student!),
  ]);
  const engine = await Engine.load(gpu, files.files, config);
  await files.close();
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
  const own =
    imported && recipe.data
      ? trainingPrompts(train, recipe.data, imported, room(recipe, { engine, chat }))
      : { train };
  if (imported && recipe.data) {
    say(`Training on ${own.train.length} prompts, ${recipe.data.prompts} ${recipe.data.name}.`);
  }
  return {
    args,
    recipe,
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
      guard: await NodeGuard.load(guard!, named.safe),
      judge: await NodeGuard.load(judge!),
      domain,
      ids: { student: student!.id, guard: guard!.id, judge: judge!.id },
      ...own,
      sets: { wording, intent },
      environment,
      prepared: args.fresh ? [] : [() => optionalJson(shipped)],
      wholePrepared: args.prepared !== null,
      savePrepared: async (_, prepared) => {
        if (args.prepared) await writeFile(args.prepared, `${JSON.stringify(prepared)}\n`);
      },
    },
  };
}

/**
 * The folders of --models that a recipe names, and the labels of its guard that mean "safe", where
 * it says which.
 * @throws UsageError for models of a hub or of a page's folder, and for guards that write a verdict
 */
export function bundledModels({ student, guard }: Pick<Recipe, 'student' | 'guard'>): {
  student: string;
  guard: string;
  safe: readonly string[] | undefined;
} {
  const folder = (what: string, source: ModelSource): string => {
    if (source.kind === 'bundled') return source.name;
    throw new UsageError(
      `The ${what} ${sourceText(source)} is no folder of --models: nothing is downloaded here.`,
    );
  };
  const chosen = parseGuardText(guard);
  const { verdict } = chosen;
  if (verdict?.kind === 'generated') {
    throw new UsageError(
      `The guard ${guard} writes its verdict; here guards are classifiers with labels.`,
    );
  }
  return {
    student: folder('student', parseSourceText(student)),
    guard: folder('guard', chosen.source),
    safe: verdict?.safe,
  };
}

/** What prompts must leave room for. */
export function room(
  { adapter, maxNewTokens }: Recipe,
  { engine, chat }: Pick<RunDeps, 'engine' | 'chat'>,
): FitOptions {
  const { maxPositions } = engine;
  return { chat, maxPositions, virtualTokens: virtualTokens(adapter), maxNewTokens };
}

/** Dependencies are pinned, so what package.json says is what runs. */
function versionOf(name: keyof typeof packageJson.dependencies): string {
  return packageJson.dependencies[name];
}
