/**
 * Sweep documents small enough to publish: verdicts of prompts as three characters each. In a
 * packed document `prompts` lists the ids of prompts once, `"prompts": [["w-1", …], …]`, and a
 * system's answers are
 *
 *   { "prompts": 0, "judge": "A_f…", "guard": "9-x…", "flags": "BBF…" }
 *
 * with one character a prompt. What is lost: scores finer than 1/64 (which side of 0.5 they are on
 * is kept), the log-odds of each prompt's first tokens, breakdowns that follow from answers and
 * prompts, digits of measures behind the fifth and of losses behind the fourth. Answers with text
 * stay lists. Pure JSON to JSON, so that whatever opens sweep documents opens both.
 */
import { SpecError } from '../data/spec-fields';

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const LEVELS = DIGITS.length;
/** Fields of an answer that packing keeps, or can leave out. */
const PACKABLE = [
  'id',
  'judgeSafe',
  'guardSafe',
  'refused',
  'correct',
  'wellFormed',
  'refusalScore',
];
/** Of `correct` and `wellFormed`, by number. */
const STATES = [undefined, false, true] as const;

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

/**
 * The document with answers as lists; one that has them already is returned as it is.
 * @throws SpecError where packed answers and the prompts do not fit
 */
export function unpackDocument(document: unknown): unknown {
  if (!isFields(document) || !Array.isArray(document.prompts)) return document;
  const { prompts, ...rest } = document;
  return withSystems(rest, (system, path) => ({
    ...system,
    answers: isFields(system.answers)
      ? unpackAnswers(system.answers, prompts as unknown[], `${path}.answers`)
      : system.answers,
  }));
}

function packAnswers(answers: unknown, listOf: (ids: string[]) => number): unknown {
  if (!Array.isArray(answers)) return answers;
  const list = answers as unknown[];
  if (!list.every((answer): answer is Fields => isFields(answer) && isPackable(answer))) {
    return answers;
  }
  const text = (digit: (answer: Fields) => number) =>
    list.map((answer) => DIGITS[digit(answer)]).join('');
  const state = (value: unknown) => STATES.findIndex((known) => known === value);
  return {
    prompts: listOf(list.map(({ id }) => id as string)),
    judge: text(({ judgeSafe }) => level(judgeSafe as number)),
    guard: text(({ guardSafe }) => level(guardSafe as number)),
    flags: text(
      ({ refused, correct, wellFormed }) =>
        Number(refused) + 2 * state(correct) + 2 * STATES.length * state(wellFormed),
    ),
  };
}

function isPackable({ id, judgeSafe, guardSafe, refused, correct, wellFormed, ...rest }: Fields) {
  const share = (value: unknown) => typeof value === 'number' && value >= 0 && value <= 1;
  const known = (value: unknown) => STATES.some((state) => state === value);
  return (
    typeof id === 'string' &&
    share(judgeSafe) &&
    share(guardSafe) &&
    typeof refused === 'boolean' &&
    known(correct) &&
    known(wellFormed) &&
    Object.keys(rest).every((field) => PACKABLE.includes(field))
  );
}

function unpackAnswers(packed: Fields, prompts: readonly unknown[], path: string): Fields[] {
  const ids = typeof packed.prompts === 'number' ? prompts[packed.prompts] : undefined;
  if (!Array.isArray(ids) || !ids.every((id): id is string => typeof id === 'string')) {
    throw new SpecError(`${path}.prompts`, `${path}.prompts must number a list of prompts.`);
  }
  const digits = (field: 'judge' | 'guard' | 'flags', below: number): number[] => {
    const text = packed[field];
    const values = typeof text === 'string' ? [...text].map((digit) => DIGITS.indexOf(digit)) : [];
    if (values.length !== ids.length || values.some((value) => value < 0 || value >= below)) {
      throw new SpecError(
        `${path}.${field}`,
        `${path}.${field} must have one character for each of ${ids.length} prompts.`,
      );
    }
    return values;
  };
  const judge = digits('judge', LEVELS);
  const guard = digits('guard', LEVELS);
  const flags = digits('flags', 2 * STATES.length ** 2);
  return ids.map((id, i) => {
    const flag = flags[i]!;
    const correct = STATES[(flag >> 1) % STATES.length];
    const wellFormed = STATES[Math.floor((flag >> 1) / STATES.length)];
    return {
      id,
      judgeSafe: (judge[i]! + 0.5) / LEVELS,
      guardSafe: (guard[i]! + 0.5) / LEVELS,
      refused: flag % 2 === 1,
      ...(correct !== undefined && { correct }),
      ...(wellFormed !== undefined && { wellFormed }),
    };
  });
}

/** 0.5 is a level's lower end, so verdicts do not change. */
function level(share: number): number {
  return Math.min(LEVELS - 1, Math.floor(share * LEVELS));
}

/** Changes every system of every evaluation; what has another shape is left to the parser. */
function withSystems(document: Fields, change: (system: Fields, path: string) => Fields): Fields {
  if (!Array.isArray(document.cells)) return document;
  const cells = (document.cells as unknown[]).map((cell, c) => {
    if (!isFields(cell) || !isFields(cell.result)) return cell;
    const { evaluations } = cell.result;
    if (!Array.isArray(evaluations)) return cell;
    const changed = (evaluations as unknown[]).map((evaluation, e) => {
      if (!isFields(evaluation) || !isFields(evaluation.systems)) return evaluation;
      const path = `cells[${c}].result.evaluations[${e}].systems`;
      const systems = Object.entries(evaluation.systems).map(([name, system]) => [
        name,
        isFields(system) ? change(system, `${path}.${name}`) : system,
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
