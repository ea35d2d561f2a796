/**
 * Evaluations of anybody's JSON: recordings, sweep documents. Every score has its range and every
 * list its length; what JSON could not write (NaN, as null) is allowed where nothing was measured.
 */
import {
  checkNumber,
  COUNT,
  DIFFERENCE,
  describe,
  fieldsOf,
  FINITE,
  join,
  listField,
  type NumberRange,
  optional,
  present,
  SHARE,
  SpecError,
  textField,
} from '../data/spec-fields';
import type {
  Evaluation,
  EvaluationSet,
  ImportedSource,
  Label,
  SystemName,
  SystemScores,
} from '../types';
import { unpackAnswers, type Outcome } from './packed-answers';
import { readMeasure, readScores } from './read-scores';

type Range = Readonly<Omit<NumberRange, 'default'>>;
type Fields = Readonly<Record<string, unknown>>;

/** What answers of one document share while it is read. */
export interface AnswerSource {
  /** Ids of prompts that packed answers name by number. */
  prompts: readonly (readonly string[])[];
  /** Answers that may still be read: a few characters of a document can stand for one. */
  left: number;
}

/** As `SystemEvaluation`, of documents that may keep verdicts without texts. */
export interface ReadSystem {
  scores: SystemScores;
  answers: Outcome[];
}

export type ReadEvaluation = Omit<Evaluation, 'systems'> & {
  systems: Partial<Record<SystemName, ReadSystem>>;
};

/** Answers of one document: about 300 MB of them. */
export const MAX_ANSWERS = 3_000_000;
const MAX_LIST = 200_000;
const MAX_EVALUATIONS = 50;
const MAX_PROMPT_LISTS = 10_000;
const MAX_ID = 1000;

const SETS: readonly EvaluationSet[] = ['wording', 'intent', 'custom'];
const SYSTEMS: readonly SystemName[] = ['base', 'preamble', 'guarded', 'adapter'];
const LABELS: readonly Label[] = ['harmful', 'borderline', 'benign'];
const NOT_NEGATIVE: Range = { ...FINITE, min: 0 };

export function answerSource(prompts: AnswerSource['prompts'] = []): AnswerSource {
  return { prompts, left: MAX_ANSWERS };
}

/** @throws SpecError, which names the field */
export function readEvaluations(
  value: unknown,
  path: string,
  source: AnswerSource,
): ReadEvaluation[] {
  return listField(value, path, { min: 0, max: MAX_EVALUATIONS }, (entry, at) =>
    readEvaluation(entry, at, source),
  );
}

/** For pages: an answer's text is empty where a document keeps verdicts alone. */
export function withTexts(evaluation: ReadEvaluation): Evaluation {
  const systems = Object.entries(evaluation.systems).map(([name, { scores, answers }]) => [
    name,
    {
      scores,
      answers: answers.map((answer) => Object.assign(answer, { answer: answer.answer ?? '' })),
    },
  ]);
  return { ...evaluation, systems: Object.fromEntries(systems) as Evaluation['systems'] };
}

function readEvaluation(value: unknown, path: string, source: AnswerSource): ReadEvaluation {
  const fields = fieldsOf(value, path);
  const set = SETS.find((name) => name === fields.set);
  if (!set) {
    throw new SpecError(`${path}.set`, `${path}.set must be one of ${SETS.join(', ')}.`);
  }
  const number = (field: string, range: Range, fallback: number) =>
    optional(fields[field], (given) => checkNumber(given, range, join(path, field))) ?? fallback;
  const counts = optional(fields.counts, (given) => fieldsOf(given, `${path}.counts`)) ?? {};
  const given = fieldsOf(fields.systems, `${path}.systems`);
  const systems: ReadEvaluation['systems'] = {};
  for (const name of SYSTEMS) {
    const system = optional(given[name], (found) =>
      readSystem(found, `${path}.systems.${name}`, source),
    );
    if (system) systems[name] = system;
  }
  return {
    set,
    temperature: number('temperature', NOT_NEGATIVE, 1),
    seed: number('seed', COUNT, 0),
    maxNewTokens: number('maxNewTokens', COUNT, 0),
    counts: Object.fromEntries(
      LABELS.map((label) => [
        label,
        optional(counts[label], (n) => checkNumber(n, COUNT, `${path}.counts.${label}`)) ?? 0,
      ]),
    ) as Record<Label, number>,
    systems,
    ...optionalParts(fields, path, systems),
  };
}

function optionalParts(
  fields: Fields,
  path: string,
  systems: ReadEvaluation['systems'],
): Partial<ReadEvaluation> {
  const at = (field: string) => join(path, field);
  return present({
    imported: optional(fields.imported, (value) => readSource(value, at('imported'))),
    guardCase: optional(fields.guardCase, (value) => {
      if (value === 'prompt' || value === 'response') return value;
      throw new SpecError(at('guardCase'), `${at('guardCase')} must be prompt or response.`);
    }),
    expectedRefusal: optional(fields.expectedRefusal, (value) =>
      readExpected(value, at('expectedRefusal'), systems),
    ),
    usefulnessDrop: optional(fields.usefulnessDrop, (value) =>
      readMeasure(value, at('usefulnessDrop'), DIFFERENCE),
    ),
    safetyTest: optional(fields.safetyTest, (value) => {
      const test = fieldsOf(value, at('safetyTest'));
      const part = (field: string, range: Range) =>
        checkNumber(test[field], range, `${path}.safetyTest.${field}`);
      return {
        onlyBaseSafe: part('onlyBaseSafe', COUNT),
        onlyAdapterSafe: part('onlyAdapterSafe', COUNT),
        pValue: part('pValue', SHARE),
      };
    }),
    wellFormedNll: optional(fields.wellFormedNll, (value) =>
      checkNumber(value, FINITE, at('wellFormedNll')),
    ),
  });
}

/** One for each prompt, in the order of the answers beside them. */
function readExpected(value: unknown, path: string, systems: ReadEvaluation['systems']): number[] {
  const shares = listField(value, path, { min: 0, max: MAX_LIST }, (share, at) =>
    checkNumber(share, SHARE, at),
  );
  for (const { answers } of Object.values(systems)) {
    if (answers.length === 0 || answers.length === shares.length) continue;
    throw new SpecError(
      path,
      `${path} has ${shares.length} entries beside ${answers.length} answers.`,
    );
  }
  return shares;
}

function readSource(value: unknown, path: string): ImportedSource {
  const fields = fieldsOf(value, path);
  return {
    name: textField(fields.name, `${path}.name`, { max: MAX_ID }),
    hash: textField(fields.hash, `${path}.hash`, { max: 64 }),
    tooLong: checkNumber(fields.tooLong, COUNT, `${path}.tooLong`),
  };
}

function readSystem(value: unknown, path: string, source: AnswerSource): ReadSystem {
  const fields = fieldsOf(value, path);
  return {
    scores: readScores(fields.scores, `${path}.scores`),
    answers: readAnswers(fields.answers ?? [], `${path}.answers`, source),
  };
}

function readAnswers(value: unknown, path: string, source: AnswerSource): Outcome[] {
  const take = (count: number) => {
    source.left -= count;
    if (source.left >= 0) return;
    throw new SpecError(
      path,
      `The document has more than ${MAX_ANSWERS.toLocaleString('en-US')} answers. Open fewer ` +
        'cells at once.',
    );
  };
  if (!Array.isArray(value)) return unpackAnswers(value, source.prompts, path, take);
  take(value.length);
  return listField(value, path, { min: 0, max: MAX_LIST }, readAnswer);
}

function readAnswer(value: unknown, path: string): Outcome {
  const fields = fieldsOf(value, path);
  const flag = (field: string) => {
    const given = fields[field];
    if (given === undefined || typeof given === 'boolean') return given;
    throw new SpecError(
      join(path, field),
      `${join(path, field)} must be true or false, not ${describe(given)}.`,
    );
  };
  const { answer } = fields;
  if (answer !== undefined && typeof answer !== 'string') {
    throw new SpecError(`${path}.answer`, `${path}.answer must be a text.`);
  }
  return {
    id: textField(fields.id, `${path}.id`, { min: 1, max: MAX_ID }),
    judgeSafe: checkNumber(fields.judgeSafe, SHARE, `${path}.judgeSafe`),
    guardSafe: checkNumber(fields.guardSafe, SHARE, `${path}.guardSafe`),
    refused: flag('refused') ?? false,
    ...present({
      answer,
      correct: flag('correct'),
      wellFormed: flag('wellFormed'),
      refusalScore: optional(fields.refusalScore, (score) =>
        checkNumber(score, FINITE, `${path}.refusalScore`),
      ),
    }),
  };
}

/** Lists of ids that packed answers name by number. @throws SpecError */
export function readPromptLists(value: unknown, path: string): string[][] {
  let left = MAX_ANSWERS;
  return listField(value, path, { min: 0, max: MAX_PROMPT_LISTS }, (list, at) => {
    const ids = listField(list, at, { min: 0, max: Math.min(left, MAX_LIST) }, (id, where) =>
      textField(id, where, { min: 1, max: MAX_ID }),
    );
    left -= ids.length;
    return ids;
  });
}
