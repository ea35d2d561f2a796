import { describe, expect, it } from 'vitest';
import type { StepRecord } from '../../distill/types';
import type { Progress } from '../../workers/wire/protocol';
import { amount, narrate, scoreWords, trend } from './lab/narration';
import { finishPhases, foldPhase, shareDone, type PhaseRow } from './phases';
import { DEFAULT_RECIPE, parseRecipe } from '../../distill/train/recipe';
import { PRESETS, fieldProblem, presetRecipe, recipeChanges, recipeProblems } from './lab/recipe';
import { adapterNumbers, type SpecNumber } from './lab/recipe-choices';

function step(n: number, loss: number): StepRecord {
  return { step: n, loss, gradientNorm: 1, learningRate: 0.01, seconds: 0.5 };
}

describe('recipe', () => {
  it('has presets without problems', () => {
    for (const preset of PRESETS) expect(recipeProblems(presetRecipe(preset))).toEqual([]);
  });

  it('names what is wrong with a field', () => {
    const [{ control: tokens }] = adapterNumbers(DEFAULT_RECIPE.adapter) as [SpecNumber];
    expect(fieldProblem(tokens, 0)).toBe('Virtual tokens must lie between 1 and 128.');
    expect(fieldProblem(tokens, 1.5)).toBe('Virtual tokens must be a whole number.');
    expect(fieldProblem(tokens, NaN)).toBe('Virtual tokens needs a number.');
    expect(fieldProblem(tokens, 16)).toBeNull();
    expect(recipeProblems(parseRecipe({ virtualTokens: 4 }))).toEqual([]);
    const { adapter } = DEFAULT_RECIPE;
    expect(
      recipeProblems({ ...DEFAULT_RECIPE, steps: 0, adapter: { ...adapter, n: 0 } as never }),
    ).toHaveLength(2);
  });

  it('lists changed settings and only those', () => {
    expect(recipeChanges(DEFAULT_RECIPE, { ...DEFAULT_RECIPE })).toEqual([]);
    expect(recipeChanges(DEFAULT_RECIPE, parseRecipe({}))).toEqual([]);
    const changed = parseRecipe({ seed: 3, objective: 'kl', virtualTokens: 4 });
    expect(recipeChanges(DEFAULT_RECIPE, changed)).toEqual(['adapter', 'objective', 'seed']);
  });
});

describe('narration', () => {
  it('tells falling, rising and level losses apart', () => {
    const from = (f: (i: number) => number) => Array.from({ length: 30 }, (_, i) => step(i, f(i)));
    expect(trend(from((i) => 3 - i / 20))).toBe('falling');
    expect(trend(from((i) => 1 + i / 20))).toBe('rising');
    expect(trend(from((i) => 1 + (i % 2) * 0.001))).toBe('level');
    expect(trend([step(0, 9), step(1, 1)])).toBe('level');
  });

  it('says step, loss, safety and over-refusal', () => {
    const steps = Array.from({ length: 120 }, (_, i) => step(i + 1, 3 - i * 0.0142));
    const probe = {
      safety: { value: 0.82, low: 0.73, high: 0.88, n: 100 },
      overRefusal: { value: 0.025, low: 0, high: 0.13, n: 40 },
    };
    expect(narrate(steps, probe, 300)).toBe(
      'Step 120 of 300, loss 1.31 falling, safety 82 of 100, over-refusal 1 of 40.',
    );
    expect(narrate([], undefined, 300)).toBe('No step yet.');
    const none = { value: NaN, low: 0, high: 1, n: 0 };
    expect(narrate(steps, { ...probe, overRefusal: none }, 300)).not.toContain('over-refusal');
    const safety = { judge: probe.safety, guard: probe.safety };
    expect(scoreWords({ safety, usefulness: none })).toBe('measured: safety 82 of 100');
    expect(scoreWords({ safety: { judge: none, guard: none }, usefulness: none })).toBe(
      'no prompt of the set measures safety or usefulness',
    );
    expect(scoreWords({ safety, usefulness: probe.safety })).toContain('usefulness 82 of 100');
  });

  it('prints amounts with their unit', () => {
    const p: Progress = { phase: 'download', done: 1_200_000, total: 3_400_000, unit: 'bytes' };
    expect(amount(p)).toBe('1.2 MB of 3.4 MB');
    expect(amount({ ...p, fromCache: true })).toBe('1.2 MB of 3.4 MB, from the cache');
    expect(amount({ ...p, bytesPerSecond: 2_500_000, resumedFrom: 600_000 })).toBe(
      '1.2 MB of 3.4 MB, 2.5 MB/s, resumed at 600 kB',
    );
    expect(amount({ phase: 'sample', done: 3, total: 0, unit: 'items' })).toBe('3');
    expect(amount({ phase: 'sample', done: 3, total: 9, unit: 'items' })).toBe('3 of 9');
    expect(amount({ phase: 'parity', done: 0, total: 1, unit: 'items' })).toBe('');
  });
});

describe('phases', () => {
  const event = (phase: Progress['phase'], done: number, total: number): Progress => ({
    phase,
    done,
    total,
    unit: 'items',
  });

  it('finishes a phase when the worker goes on, and leaves other workers alone', () => {
    let rows: PhaseRow[] = [];
    rows = foldPhase(rows, 'trainer', event('download', 1, 4));
    rows = foldPhase(rows, 'guard', event('download', 1, 2));
    rows = foldPhase(rows, 'trainer', event('compile', 1, 0));
    expect(rows.map((r) => [r.key, r.state])).toEqual([
      ['trainer:download', 'done'],
      ['guard:download', 'running'],
      ['trainer:compile', 'running'],
    ]);
    expect(rows.map(shareDone)).toEqual([1, 0.5, null]);
  });

  it('adds no row for ready and updates a running row in place', () => {
    let rows = foldPhase([], 'judge', event('download', 1, 4));
    rows = foldPhase(rows, 'judge', event('download', 3, 4));
    expect(rows).toHaveLength(1);
    expect(rows.map(shareDone)).toEqual([0.75]);
    rows = foldPhase(rows, 'judge', event('ready', 0, 0));
    expect(rows.map((r) => r.state)).toEqual(['done']);
    expect(finishPhases(rows, 'judge').map((r) => r.state)).toEqual(['done']);
  });
});
