/**
 * Sweep documents small enough to publish: verdicts of prompts as three characters each
 * (packed-answers.ts), with `"prompts": [["w-1", …], …]` beside the cells. What is lost: scores finer
 * than 1/64, the log-odds of each prompt's first tokens, breakdowns that follow from answers and
 * prompts, digits of measures behind the fifth and of losses behind the fourth. Answers with text
 * stay lists. Pure JSON to JSON, so that whatever opens sweep documents opens both.
 */
import { packAnswers } from '../evaluation/packed-answers';

type Fields = Record<string, unknown>;

/** The document with packed answers, measures to six digits. What is packed already stays. */
export function packDocument(document: unknown): unknown {
  if (!isFields(document)) return document;
  const lists = new Map<string, number>();
  for (const ids of Array.isArray(document.prompts) ? (document.prompts as unknown[]) : []) {
    lists.set(JSON.stringify(ids), lists.size);
  }
  const packed = withSystems(document, (system) => {
    const answers = packAnswers(system.answers, (ids) => {
      const key = JSON.stringify(ids);
      if (!lists.has(key)) lists.set(key, lists.size);
      return lists.get(key)!;
    });
    const scores = isFields(answers) ? withoutBreakdowns(system.scores) : system.scores;
    return { ...system, scores: rounded(scores, 5), answers };
  });
  return {
    ...withShortLosses(packed),
    prompts: [...lists.keys()].map((key) => JSON.parse(key) as unknown),
  };
}

/** Changes every system of every evaluation; what has another shape is left to the parser. */
function withSystems(document: Fields, change: (system: Fields) => Fields): Fields {
  if (!Array.isArray(document.cells)) return document;
  const cells = (document.cells as unknown[]).map((cell) => {
    if (!isFields(cell) || !isFields(cell.result)) return cell;
    const { evaluations } = cell.result;
    if (!Array.isArray(evaluations)) return cell;
    const changed = (evaluations as unknown[]).map((evaluation) => {
      if (!isFields(evaluation) || !isFields(evaluation.systems)) return evaluation;
      const systems = Object.entries(evaluation.systems).map(([name, system]) => [
        name,
        isFields(system) ? change(system) : system,
      ]);
      return { ...evaluation, systems: Object.fromEntries(systems) as Fields };
    });
    return { ...cell, result: { ...cell.result, evaluations: changed } };
  });
  return { ...document, cells };
}

/** What the prompts' categories, wrappers, styles and labels say of the answers again. */
function withoutBreakdowns(scores: unknown): unknown {
  if (!isFields(scores)) return scores;
  const {
    attackSuccess: _attacks,
    overRefusalByStyle: _styles,
    byForm: _forms,
    refusal: _labels,
    ...rest
  } = scores;
  const { calibration } = rest;
  return isFields(calibration) ? { ...rest, calibration: { ...calibration, bins: [] } } : rest;
}

function withShortLosses(document: Fields): Fields {
  if (!Array.isArray(document.cells)) return document;
  const cells = (document.cells as unknown[]).map((cell) =>
    isFields(cell) && isFields(cell.result) && 'losses' in cell.result
      ? { ...cell, result: { ...cell.result, losses: rounded(cell.result.losses, 4) } }
      : cell,
  );
  return { ...document, cells };
}

function rounded(value: unknown, digits: number): unknown {
  if (typeof value === 'number') return Number(value.toPrecision(digits));
  if (Array.isArray(value)) return value.map((entry) => rounded(entry, digits));
  if (!isFields(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name, rounded(field, digits)]),
  );
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
