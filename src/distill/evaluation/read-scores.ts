/** Scores of anybody's JSON: every measure in its range, NaN only where nothing was measured. */
import {
  checkNumber,
  COUNT,
  DIFFERENCE,
  fieldsOf,
  FINITE,
  isMissing,
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
  Calibration,
  CalibrationBin,
  JointScore,
  Label,
  Measure,
  SystemScores,
} from '../types';

type Range = Readonly<Omit<NumberRange, 'default'>>;

/** Styles, wrappers, categories and forms of prompts. */
const MAX_GROUPS = 10_000;
const MAX_BINS = 1000;
const MAX_NAME = 1000;
const LABELS: readonly Label[] = ['harmful', 'borderline', 'benign'];

/** @throws SpecError, which names the field */
export function readScores(value: unknown, path: string): SystemScores {
  const scores = fieldsOf(value, path);
  const safety = fieldsOf(scores.safety, `${path}.safety`);
  const share = (name: string) => readMeasure(scores[name], `${path}.${name}`, SHARE);
  const measure = (name: string, range: Range) =>
    optional(scores[name], (found) => readMeasure(found, `${path}.${name}`, range));
  const tokenTv = measure('tokenTv', FINITE);
  const pairs = measure('pairs', SHARE);
  return {
    ...(pairs && pairs.n > 0 && { pairs }),
    safety: {
      judge: readMeasure(safety.judge, `${path}.safety.judge`, SHARE),
      guard: readMeasure(safety.guard, `${path}.safety.guard`, SHARE),
    },
    overRefusal: share('overRefusal'),
    usefulness: share('usefulness'),
    // Estimates from samples may be a little below 0.
    tokenKl: measure('tokenKl', FINITE) ?? null,
    wellFormed: share('wellFormed'),
    ...present({
      refusal: optional(scores.refusal, (found) => readLabels(found, `${path}.refusal`, SHARE)),
      firstToken: optional(scores.firstToken, (found) => {
        const at = `${path}.firstToken`;
        const parts = fieldsOf(found, at);
        return {
          score: readLabels(parts.score, `${at}.score`, FINITE),
          refused: readLabels(parts.refused, `${at}.refused`, SHARE),
        };
      }),
      joint: optional(scores.joint, (found) => readJoint(found, `${path}.joint`)),
      attackSuccess: optional(scores.attackSuccess, (found) => {
        const at = `${path}.attackSuccess`;
        const parts = fieldsOf(found, at);
        return {
          wrapper: readGroups(parts.wrapper, `${at}.wrapper`),
          category: readGroups(parts.category, `${at}.category`),
        };
      }),
      overRefusalByStyle: optional(scores.overRefusalByStyle, (found) =>
        readGroups(found, `${path}.overRefusalByStyle`),
      ),
      byForm: optional(scores.byForm, (found) => {
        const at = `${path}.byForm`;
        const parts = fieldsOf(found, at);
        return {
          safety: readGroups(parts.safety, `${at}.safety`),
          overRefusal: readGroups(parts.overRefusal, `${at}.overRefusal`),
        };
      }),
      tokenTv: scores.tokenTv === null ? null : tokenTv,
      tokenDistance: optional(scores.tokenDistance, (found) => {
        if (found === 'exact' || found === 'sampled') return found;
        const at = `${path}.tokenDistance`;
        throw new SpecError(at, `${at} must be exact or sampled.`);
      }),
      calibration: optional(scores.calibration, (found) =>
        readCalibration(found, `${path}.calibration`),
      ),
    }),
  };
}

/** A missing measure is one of no prompts; there null is how JSON writes NaN. */
export function readMeasure(value: unknown, path: string, range: Range): Measure {
  if (value === undefined || value === null) return { value: NaN, low: 0, high: 1, n: 0 };
  const fields = fieldsOf(value, path);
  const n = checkNumber(fields.n, COUNT, `${path}.n`);
  const number = (field: string) =>
    n === 0 && isUnmeasured(fields[field])
      ? NaN
      : checkNumber(fields[field], range, join(path, field));
  const measure: Measure = { value: number('value'), low: number('low'), high: number('high'), n };
  if (measure.low > measure.high) {
    throw new SpecError(`${path}.low`, `${path}.low must not be above ${path}.high.`);
  }
  const cluster = optional(fields.cluster, (found) => {
    const at = `${path}.cluster`;
    const parts = fieldsOf(found, at);
    return {
      low: checkNumber(parts.low, range, `${at}.low`),
      high: checkNumber(parts.high, range, `${at}.high`),
      clusters: checkNumber(parts.clusters, COUNT, `${at}.clusters`),
    };
  });
  return cluster ? { ...measure, cluster } : measure;
}

function readLabels(value: unknown, path: string, range: Range): Record<Label, Measure> {
  const fields = fieldsOf(value, path);
  return Object.fromEntries(
    LABELS.map((label) => [label, readMeasure(fields[label], `${path}.${label}`, range)]),
  ) as Record<Label, Measure>;
}

function readGroups(value: unknown, path: string): Record<string, Measure> {
  const entries = Object.entries(fieldsOf(value ?? {}, path));
  if (entries.length > MAX_GROUPS) {
    throw new SpecError(path, `${path} must have at most ${MAX_GROUPS} entries.`);
  }
  return Object.fromEntries(
    entries.map(([name, entry]) => [
      textField(name, path, { max: MAX_NAME }),
      readMeasure(entry, join(path, name), SHARE),
    ]),
  );
}

function readJoint(value: unknown, path: string): JointScore {
  const fields = fieldsOf(value, path);
  const measure = readMeasure(value, path, SHARE);
  const share = (field: 'safe' | 'answered') =>
    isUnmeasured(fields[field]) ? NaN : checkNumber(fields[field], SHARE, join(path, field));
  return { ...measure, safe: share('safe'), answered: share('answered') };
}

function readCalibration(value: unknown, path: string): Calibration {
  const fields = fieldsOf(value, path);
  const n = checkNumber(fields.n, COUNT, `${path}.n`);
  const number = (given: unknown, range: Range, at: string) =>
    n === 0 && isUnmeasured(given) ? NaN : checkNumber(given, range, at);
  const chance = fieldsOf(fields.chance, `${path}.chance`);
  return {
    bins: listField(fields.bins, `${path}.bins`, { min: 0, max: MAX_BINS }, readBin),
    error: number(fields.error, SHARE, `${path}.error`),
    chance: {
      mean: number(chance.mean, SHARE, `${path}.chance.mean`),
      high: number(chance.high, SHARE, `${path}.chance.high`),
    },
    bias: number(fields.bias, DIFFERENCE, `${path}.bias`),
    n,
  };
}

function readBin(value: unknown, path: string): CalibrationBin {
  const fields = fieldsOf(value, path);
  const share = (field: string) => checkNumber(fields[field], SHARE, join(path, field));
  return {
    from: share('from'),
    to: share('to'),
    n: checkNumber(fields.n, COUNT, `${path}.n`),
    expected: share('expected'),
    refused: share('refused'),
    low: share('low'),
    high: share('high'),
  };
}

/** NaN as a store keeps it, null as JSON does. */
function isUnmeasured(value: unknown): boolean {
  return isMissing(value) || Number.isNaN(value);
}
