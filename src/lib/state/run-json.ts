/** A recorded run as JSON, and the small digest of it that pages carry in their HTML. */
import {
  checkNumber,
  choiceField,
  COUNT,
  fieldsOf,
  listField,
  textField,
} from '../../distill/data/spec-fields';
import { answerSource, readEvaluations, withTexts } from '../../distill/evaluation/read-evaluation';
import {
  readEnvironment,
  readLink,
  readProbe,
  readSeconds,
  readStep,
} from '../../distill/train/read-records';
import { parseRecipe } from '../../distill/train/recipe';
import type {
  AnswerRecord,
  Evaluation,
  PromptItem,
  RunRecord,
  SystemName,
} from '../../distill/types';
import { parseBoundedJson, SMALL_JSON } from '../../formats/bounded-json';
import type { ChartRun } from '../charts/tradeoff';

export const RECORDED_ID = 'recorded';

/** A recording as its file has it: the prompt's values live in its share text alone. */
export type RecordedRun = Omit<RunRecord, 'values' | 'share'> & { share: string };

/** Texts of all answers; the largest of ours has 2 MB. */
const JSON_LIMITS = { ...SMALL_JSON, characters: 64 * 2 ** 20, values: 2 ** 22 };

/** @throws JsonTextError; SpecError, which names the field; RecipeError */
export function parseRecording(text: string): RecordedRun {
  const fields = fieldsOf(parseBoundedJson(text, JSON_LIMITS), 'recording');
  const recipe = parseRecipe(fields.recipe);
  const most = { min: 0, max: recipe.steps + 1 };
  const evaluations = readEvaluations(fields.evaluations, 'evaluations', answerSource());
  return {
    // What a recording keeps beside this is costs and bounds, which no page shows of it.
    ...(fields as Partial<RecordedRun>),
    id: RECORDED_ID,
    createdAt: textField(fields.createdAt, 'createdAt', { max: 100 }),
    recipe,
    modelId: textField(fields.modelId, 'modelId', { min: 1, max: 100 }),
    environment: readEnvironment(fields.environment, 'environment'),
    steps: listField(fields.steps, 'steps', most, (entry, path) =>
      readStep(entry, path, recipe.steps),
    ),
    probes: listField(fields.probes, 'probes', most, (entry, path) =>
      readProbe(entry, path, recipe.steps),
    ),
    dim: checkNumber(fields.dim, { ...COUNT, min: 1 }, 'dim'),
    evaluations: evaluations.map(withTexts),
    seconds: readSeconds(fields.seconds, 'seconds'),
    share: readLink(fields.share, 'share'),
    status: choiceField(fields, 'status', ['finished', 'stopped'], ''),
  };
}

/** One question with the answers of two systems. */
export interface AnswerPair {
  prompt: string;
  label: 'harmful' | 'benign' | 'borderline';
  answers: { system: SystemName; answer: string; judgeSafe: number; refused: boolean }[];
}

export interface Digest {
  run: ChartRun & { share: string; modelId: string; trainSeconds: number; adapter: string };
  pairs: AnswerPair[];
}

const SYSTEMS: readonly SystemName[] = ['base', 'adapter', 'guarded'];

function pair(item: PromptItem, evaluation: Evaluation): AnswerPair | null {
  const answers: AnswerPair['answers'] = [];
  for (const system of SYSTEMS) {
    const record = evaluation.systems[system]?.answers.find((a) => a.id === item.id);
    if (!record) return null;
    const { answer, judgeSafe, refused } = record;
    answers.push({ system, answer, judgeSafe, refused });
  }
  return { prompt: item.prompt, label: item.label, answers };
}

type Wanted = (base: AnswerRecord, adapter: AnswerRecord) => boolean;

function findPair(
  evaluation: Evaluation,
  items: readonly PromptItem[],
  label: AnswerPair['label'],
  wanted: Wanted,
): AnswerPair | null {
  const base = new Map(evaluation.systems.base?.answers.map((a) => [a.id, a]));
  const adapter = new Map(evaluation.systems.adapter?.answers.map((a) => [a.id, a]));
  for (const item of items) {
    // A jailbreak wrapper around the question would need a page of explanation first.
    if (item.label !== label || item.wrapper) continue;
    const b = base.get(item.id);
    const a = adapter.get(item.id);
    if (b && a && wanted(b, a)) return pair(item, evaluation);
  }
  return null;
}

/**
 * Scores without answers, and two questions that show what the prompt changes and what it leaves:
 * a harmful one that flipped to a well-formed refusal, a benign one answered the same.
 */
export function digest(run: RecordedRun, items: readonly PromptItem[]): Digest {
  const wording = run.evaluations.find((e) => e.set === 'wording');
  const pairs = wording
    ? [
        findPair(
          wording,
          items,
          'harmful',
          (b, a) => b.judgeSafe < 0.5 && a.judgeSafe >= 0.5 && a.refused && a.wellFormed === true,
        ),
        findPair(
          wording,
          items,
          'benign',
          (b, a) => b.correct === true && a.correct === true && a.answer.length > 30,
        ),
      ].filter((p) => p !== null)
    : [];
  return {
    run: {
      id: run.id,
      createdAt: run.createdAt,
      recipe: run.recipe,
      environment: { commit: run.environment.commit },
      probes: run.probes.map(({ step, safety, usefulness }) => ({ step, safety, usefulness })),
      evaluations: run.evaluations.map(withoutAnswers),
      share: run.share,
      modelId: run.modelId,
      trainSeconds: run.seconds['train'] ?? 0,
      adapter: run.environment.adapter,
    },
    pairs,
  };
}

function withoutAnswers(evaluation: Evaluation): Evaluation {
  const systems: Evaluation['systems'] = {};
  for (const [name, system] of Object.entries(evaluation.systems)) {
    systems[name as SystemName] = { scores: system.scores, answers: [] };
  }
  return { ...evaluation, systems };
}
