/** Known answers of REINFORCE and PPO on free logits (METHOD.md §4.6, §4.7). */
import { describe, expect, it } from 'vitest';
import {
  answerWorth,
  policyNumbers,
  ppoBatch,
  reinforceRollouts,
  type StudentAnswer,
} from './policy';
import { Random } from '../statistics/prng';
import type { TabularModel } from '../train/tabular.testing';
import {
  keyOf,
  randomModel,
  sequenceTv,
  TabularAdam,
  TabularRows,
  UNIT,
} from '../train/tabular.testing';
import { startValue, updateValue, valueLoss, valueOf, type ValueSample } from './value-head';
import { engineObjective } from './position';
import { policyExample } from './rows';
import { parseObjective, type RewardName } from './spec';

const EOS = 3;
const REFUSAL = keyOf([0, 1, EOS]);
const base = randomModel(21, 4, 3, 1.2);

/** Refusals are the safest; answers that start with 1 are harmful, others hardly. */
function safety(string: readonly number[]): number {
  if (keyOf(string) === REFUSAL) return 0.99;
  return string[0] === 1 ? 0.05 : 0.85;
}
function answerOf(student: TabularModel, tokens: number[]): StudentAnswer {
  return {
    tokens,
    logProbs: student.logProbs(tokens),
    base: base.logProbs(tokens),
    safe: safety(tokens),
  };
}

const decay = (step: number, steps: number) => 0.5 * (1 + Math.cos((Math.PI * step) / steps));
const reinforce = engineObjective(parseObjective('reinforce'));
const ppo = engineObjective(parseObjective('ppo'));

/** q* ∝ π·exp(R/β), at β = 1 and R = log s: π·s. */
function tilted() {
  const norm = base.expect(safety);
  return (string: readonly number[]) => (base.probability(string) * safety(string)) / norm;
}

/** Trains on the exact expectation over all answers of the student. */
function exactReinforce(beta: number, reward: RewardName, steps: number): TabularModel {
  const student = base.clone();
  const adam = new TabularAdam();
  for (let step = 0; step < steps; step++) {
    const worth = student.strings.map((r) => answerWorth(answerOf(student, r), { beta, reward }));
    const q = student.strings.map((r) => student.probability(r));
    const baseline = worth.reduce((sum, value, i) => sum + value * q[i]!, 0);
    const rows = new TabularRows();
    for (const [i, tokens] of student.strings.entries()) {
      const logProbs = student.logProbs(tokens);
      const advantages = tokens.map(() => worth[i]! - baseline);
      rows.tokens(policyExample([0, 0], [{ tokens, logProbs, advantages }], UNIT), q[i]!);
    }
    adam.step(student, rows.evaluate(student, reinforce).at, 0.1 * decay(step, steps));
  }
  return student;
}

describe('REINFORCE', () => {
  it.each(['safe', 'log-safe'] as const)(
    'without a KL penalty collapses to the safest string, which is the refusal; R = %s',
    (reward) => {
      const student = exactReinforce(0, reward, 800);
      expect(base.probability([0, 1, EOS])).toBeLessThan(0.2);
      expect(student.probability([0, 1, EOS])).toBeGreaterThan(0.97);
    },
  );

  it('with β = 1 and R = log s reaches π·s, which has no refusal branch', () => {
    const student = exactReinforce(1, 'log-safe', 600);
    const q = (r: readonly number[]) => student.probability(r);
    expect(sequenceTv(student.strings, tilted(), q)).toBeLessThan(1e-3);
    // p would have the refusal at s·π + u; this target leaves it nearly where π had it.
    const u = base.expect((r) => 1 - safety(r));
    expect(student.probability([0, 1, EOS])).toBeLessThan(base.probability([0, 1, EOS]) + u / 2);
  });

  it('reaches it from sampled answers with a leave-one-out baseline', () => {
    const student = base.clone();
    const adam = new TabularAdam();
    const random = new Random('rloo');
    const [steps, prompts, k] = [250, 24, 4];
    for (let step = 0; step < steps; step++) {
      const rows = new TabularRows();
      for (let prompt = 0; prompt < prompts; prompt++) {
        const answers = Array.from({ length: k }, () => answerOf(student, student.sample(random)));
        const rollouts = reinforceRollouts(answers, { beta: 1, reward: 'log-safe' });
        rows.tokens(policyExample([0, 0], rollouts, UNIT), 1 / prompts);
      }
      adam.step(student, rows.evaluate(student, reinforce).at, 0.1 * decay(step, steps));
    }
    const q = (r: readonly number[]) => student.probability(r);
    expect(sequenceTv(student.strings, tilted(), q)).toBeLessThan(0.04);
  });
});

describe('PPO', () => {
  /** One-hot states, one a prefix: a linear value head is then a table. */
  const states = new Map<string, Float64Array>();
  const prefixes = new Set(base.strings.flatMap((r) => r.map((_, t) => keyOf(r.slice(0, t)))));
  [...prefixes].forEach((key, i) => {
    const state = new Float64Array(prefixes.size);
    state[i] = 1;
    states.set(key, state);
  });
  const hidden = (tokens: readonly number[], t: number) => states.get(keyOf(tokens.slice(0, t)))!;

  function train(beta: number) {
    const student = base.clone();
    const adam = new TabularAdam();
    const value = startValue(prefixes.size);
    const random = new Random('ppo');
    const [steps, batch, epochs] = [150, 64, 4];
    for (let step = 0; step < steps; step++) {
      const answers = Array.from({ length: batch }, () =>
        answerOf(student, student.sample(random)),
      );
      const values = answers.map(({ tokens }) =>
        tokens.map((_, t) => valueOf(value.head, hidden(tokens, t))),
      );
      const spec = { beta, reward: 'log-safe', lambda: 0.95 } as const;
      const { rollouts, returns } = ppoBatch(answers, values, spec);
      const rows = new TabularRows();
      for (const rollout of rollouts) {
        rows.tokens(policyExample([0, 0], [rollout], UNIT), 1 / batch);
      }
      const samples = answers.flatMap(({ tokens }, i) =>
        tokens.map((_, t): ValueSample => {
          const oldValue = values[i]![t]!;
          return { hidden: hidden(tokens, t), return: returns[i]![t]!, oldValue };
        }),
      );
      for (let epoch = 0; epoch < epochs; epoch++) {
        adam.step(student, rows.evaluate(student, ppo).at, 0.05 * decay(step, steps));
        updateValue(value, valueLoss(value.head, samples, 0.2).gradient, 0.05);
      }
    }
    return student;
  }

  it('reaches what REINFORCE reaches: π·s with β = 1', () => {
    const student = train(1);
    const q = (r: readonly number[]) => student.probability(r);
    expect(sequenceTv(base.strings, tilted(), (r) => base.probability(r))).toBeGreaterThan(0.15);
    expect(sequenceTv(student.strings, tilted(), q)).toBeLessThan(0.06);
  });

  it('collapses to the refusal without a KL penalty', () => {
    expect(train(0).probability([0, 1, EOS])).toBeGreaterThan(0.9);
  });
});

describe('policyNumbers', () => {
  it('are means over answers, with no KL before the first step', () => {
    const answers = [
      [0, 1, EOS],
      [1, EOS],
    ].map((tokens) => answerOf(base, tokens));
    expect(policyNumbers(answers)).toEqual({ safe: (0.99 + 0.05) / 2, kl: 0, length: 2.5 });
    const other = answerOf(randomModel(22, 4, 3), [1, EOS]);
    expect(policyNumbers([other]).kl).toBeCloseTo(
      Math.log(randomModel(22, 4, 3).probability([1, EOS]) / base.probability([1, EOS])),
      10,
    );
    expect(() => ppoBatch(answers, [], { beta: 0, reward: 'safe', lambda: 1 })).toThrow(RangeError);
  });
});
