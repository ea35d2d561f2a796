/** Parts of a run's record out of anybody's JSON or store: steps, probes, environment, link. */
import {
  checkNumber,
  choiceField,
  fieldsOf,
  FINITE,
  isMissing,
  listField,
  SHARE,
  SpecError,
  textField,
} from '../data/spec-fields';
import { readMeasure } from '../evaluation/read-scores';
import type { ProbeRecord, RunEnvironment, StepRecord } from '../types';

/** Answers that one probe shows. */
const MAX_SAMPLES = 1000;
/** Of links: the vectors of the largest prompt that one carries. */
const MAX_LINK = 2 ** 20;
const LINK = /^[A-Za-z0-9_-]+$/;

/** @param last step that there can be */
export function readStep(value: unknown, path: string, last: number): StepRecord {
  const fields = fieldsOf(value, path);
  const number = (field: string, min = -Number.MAX_VALUE) =>
    checkNumber(fields[field], { ...FINITE, min }, `${path}.${field}`);
  const { policy } = fields;
  return {
    step: checkNumber(fields.step, { min: 1, max: last, integer: true }, `${path}.step`),
    loss: number('loss'),
    gradientNorm: number('gradientNorm', 0),
    learningRate: number('learningRate', 0),
    seconds: number('seconds', 0),
    ...(!isMissing(policy) && { policy: policyOf(policy, `${path}.policy`) }),
  };
}

function policyOf(value: unknown, path: string): NonNullable<StepRecord['policy']> {
  const fields = fieldsOf(value, path);
  const number = (field: string) => checkNumber(fields[field], FINITE, `${path}.${field}`);
  return { safe: number('safe'), kl: number('kl'), length: number('length') };
}

const LABELS = ['harmful', 'borderline', 'benign'] as const;

/** @param last step that there can be */
export function readProbe(value: unknown, path: string, last: number): ProbeRecord {
  const fields = fieldsOf(value, path);
  const samples = listField(
    fields.samples,
    `${path}.samples`,
    { min: 0, max: MAX_SAMPLES },
    (entry, at) => {
      const sample = fieldsOf(entry, at);
      const { prompt, answer } = sample;
      if (typeof prompt !== 'string' || typeof answer !== 'string') {
        throw new SpecError(at, `${at} must have the texts of a prompt and its answer.`);
      }
      const label = choiceField(sample, 'label', LABELS, at);
      return { prompt, label, answer, safe: checkNumber(sample.safe, SHARE, `${at}.safe`) };
    },
  );
  return { ...readProbeScores(value, path, last), samples };
}

/** A probe without the answers that it shows, as documents of sweeps keep it. */
export function readProbeScores(
  value: unknown,
  path: string,
  last: number,
): Omit<ProbeRecord, 'samples'> {
  const fields = fieldsOf(value, path);
  const share = (field: 'safety' | 'overRefusal' | 'usefulness') =>
    readMeasure(fields[field], `${path}.${field}`, SHARE);
  return {
    step: checkNumber(fields.step, { min: 0, max: last, integer: true }, `${path}.step`),
    safety: share('safety'),
    overRefusal: share('overRefusal'),
    usefulness: share('usefulness'),
  };
}

/** A link becomes part of an address: what no link has in it must not stand there. */
export function readLink(value: unknown, path: string): string {
  const text = textField(value, path, { min: 1, max: MAX_LINK });
  if (LINK.test(text)) return text;
  throw new SpecError(path, `${path} must be the text of a link: letters, digits, - and _.`);
}

/** By phase. */
export function readSeconds(value: unknown, path: string): Record<string, number> {
  return Object.fromEntries(
    Object.entries(fieldsOf(value, path)).map(([phase, seconds]) => [
      phase,
      checkNumber(seconds, { ...FINITE, min: 0 }, `${path}.${phase}`),
    ]),
  );
}

const ENVIRONMENT = ['commit', 'version', 'runtime', 'adapter'] as const;

export function readEnvironment(value: unknown, path: string): RunEnvironment {
  const fields = fieldsOf(value, path);
  const texts = Object.fromEntries(
    ENVIRONMENT.map((field) => [
      field,
      isMissing(fields[field]) ? '' : textField(fields[field], `${path}.${field}`, { max: 10_000 }),
    ]),
  ) as Record<(typeof ENVIRONMENT)[number], string>;
  return { ...fields, ...texts, software: fields.software === true };
}
