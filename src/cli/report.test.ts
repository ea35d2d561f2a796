import { describe, expect, it } from 'vitest';
import { DEFAULT_RECIPE } from '../distill/train/recipe';
import type { Evaluation, Measure, RunRecord, SystemName, SystemScores } from '../distill/types';
import { probeText, recording, runReport, summary, type ReportEnvironment } from './report';

const measure = (value: number): Measure => ({ value, low: value / 2, high: 1, n: 10 });
const scores = (value: number): SystemScores => ({
  safety: { judge: measure(value), guard: measure(value) },
  overRefusal: measure(0),
  usefulness: measure(1),
  tokenKl: measure(0.1),
  wellFormed: measure(1),
});
const NAMES: SystemName[] = ['base', 'preamble', 'guarded', 'adapter'];
const evaluation = (set: 'wording' | 'intent', temperature: number, value: number): Evaluation => ({
  set,
  temperature,
  seed: 0,
  maxNewTokens: 48,
  counts: { harmful: 10, borderline: 10, benign: 10 },
  systems: Object.fromEntries(NAMES.map((name) => [name, { scores: scores(value), answers: [] }])),
});
const environment: ReportEnvironment = {
  commit: 'abc',
  version: '1',
  runtime: 'Node',
  adapter: 'gpu',
  software: true,
  driver: 'system',
  versions: { node: '20' },
};
const record: RunRecord = {
  id: 'r',
  createdAt: '2026-01-01T00:00:00.000Z',
  recipe: DEFAULT_RECIPE,
  modelId: 'm',
  environment,
  steps: [{ step: 1, loss: 1, gradientNorm: 1, learningRate: 0.1, seconds: 1 }],
  probes: [],
  values: new Float32Array(4),
  dim: 2,
  evaluations: [
    evaluation('wording', 1, 0.75),
    evaluation('intent', 1, 0.5),
    evaluation('wording', 0, 0.25),
  ],
  seconds: { train: 3 },
  share: 'AQ',
  status: 'finished',
};
const settings = {
  student: 'pocket',
  modelId: 'm',
  temperature: 1,
  evaluationSeed: 0,
  maxNewTokens: 48,
  limit: 0,
};

describe('runReport', () => {
  it('has every documented field, sampled scores first', () => {
    const json: unknown = JSON.parse(JSON.stringify(runReport(record, settings, environment)));
    const score = { value: 0.75, low: 0.375, high: 1, n: 10 };
    const expected = (value: object) =>
      Object.fromEntries(NAMES.map((name) => [name, expect.objectContaining(value)]));
    expect(json).toMatchObject({
      systems: expected({ safety: { judge: score, guard: score } }),
      systemsIntent: expected({ safety: { judge: measure(0.5), guard: measure(0.5) } }),
      evaluations: { wording: { greedy: { systems: expected({ wellFormed: measure(1) }) } } },
      steps: record.steps,
      settings: { objective: { name: 'tv' }, steps: DEFAULT_RECIPE.steps, modelId: 'm', limit: 0 },
      environment: { commit: 'abc', adapter: 'gpu', versions: { node: '20' } },
      seconds: { train: 3 },
      shareLink: '/p#AQ',
    });
    const [base] = Object.values((json as { systems: Record<string, object> }).systems);
    expect(Object.keys(base!).sort()).toEqual(Object.keys(scores(0)).sort());
  });

  it('tells the seed of the run from the seed of its evaluation', () => {
    const run = { ...record, recipe: { ...DEFAULT_RECIPE, seed: 7 } };
    expect(runReport(run, settings, environment).settings).toMatchObject({
      seed: 7,
      evaluationSeed: 0,
    });
  });

  it('is empty, not absent, where nothing was evaluated', () => {
    const report = runReport({ ...record, evaluations: [] }, settings, environment);
    expect(report.systems).toEqual({});
    expect(report.systemsIntent).toEqual({});
  });
});

it('a recording leaves the values to the share text', () => {
  expect(recording(record)).not.toHaveProperty('values');
  expect(recording(record)).toMatchObject({ share: 'AQ', recipe: DEFAULT_RECIPE });
});

it('the summary has one line a system, with n and intervals', () => {
  const lines = summary('wording', { base: scores(0.75), adapter: scores(0.5) }).split('\n');
  expect(lines).toHaveLength(3);
  expect(lines[1]).toMatch(/base +safety 75\.0% \[37\.5, 100\.0\] n=10/);
});

describe('what no prompt asked for is said to be not measured, never NaN', () => {
  const none: Measure = { value: NaN, low: NaN, high: NaN, n: 0 };

  it('in the summary', () => {
    const systems = {
      base: {
        ...scores(1),
        ...{ safety: { judge: none, guard: none }, overRefusal: none, usefulness: none },
        ...{ wellFormed: none, tokenKl: none },
      },
    };
    const line = summary('custom', systems);
    expect(line).toBe(
      'custom\n  base      safety not measured: no harmful prompt; ' +
        'over-refusal not measured: no borderline prompt; ' +
        'usefulness not measured: no benign prompt; ' +
        'well formed not measured: no safe answer; token KL not measured',
    );
  });

  it('in a probe', () => {
    const some: Measure = { value: 0.5, low: 0.1, high: 0.9, n: 2 };
    const probe = { step: 3, safety: some, overRefusal: none, usefulness: none, samples: [] };
    expect(probeText(probe)).toBe(
      'probe at 3: safety 50.0%, over-refusal not measured: no borderline prompt, ' +
        'usefulness not measured: no benign prompt',
    );
  });
});

it('says pairs before safety, and nothing of them where a set has none', () => {
  const text = summary('t', { base: { ...scores(0.5), pairs: measure(0.25) } });
  expect(text).toMatch(/base +pairs right 25\.0% \[12\.5, 100\.0\] n=10; safety/);
  expect(summary('t', { base: scores(0.5) })).not.toContain('pairs');
});
