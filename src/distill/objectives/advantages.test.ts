import { describe, expect, it } from 'vitest';
import { centralDifferences, normals, relativeError } from '../../kernels/gpu/testing';
import {
  generalisedAdvantages,
  guardReward,
  leaveOneOut,
  sequenceLogRatio,
  tokenRewards,
  whiten,
} from './advantages';
import { randomModel } from '../train/tabular.testing';
import { startValue, updateValue, valueLoss, valueOf, type ValueSample } from './value-head';
import { logSoftmaxReference } from '../../kernels/loss/divergence.reference';

describe('rewards', () => {
  it('are s or its logarithm, with the KL penalty spread over the tokens', () => {
    expect(guardReward(0.25, 'safe')).toBe(0.25);
    expect(guardReward(0.25, 'log-safe')).toBeCloseTo(Math.log(0.25), 12);
    const logProbs = [-1, -2, -0.5];
    const base = [-1.5, -2, -2.5];
    const rewards = tokenRewards(0.7, logProbs, base, 0.1);
    [-0.05, 0, 0.5].forEach((r, t) => expect(rewards[t]).toBeCloseTo(r, 12));
    // Their sum is the sequence's reward, R − β·KL.
    const sum = rewards.reduce((a, b) => a + b, 0);
    expect(sum).toBeCloseTo(0.7 - 0.1 * sequenceLogRatio(logProbs, base), 12);
    expect(() => tokenRewards(1, [], [], 0)).toThrow(RangeError);
    expect(() => sequenceLogRatio([1], [])).toThrow(RangeError);
  });
});

describe('leaveOneOut', () => {
  it('is k/(k−1) times the distance to the mean', () => {
    const advantages = leaveOneOut([1, 2, 6]);
    [1 - 4, 2 - 3.5, 6 - 1.5].forEach((a, i) => expect(advantages[i]).toBeCloseTo(a, 12));
    expect(() => leaveOneOut([1])).toThrow(RangeError);
  });

  it('leaves the policy gradient unbiased, by enumeration of pairs of answers', () => {
    const model = randomModel(3, 3, 2);
    const reward = (r: readonly number[]) => Math.sin(7 * r[0]! + 3 * (r[1] ?? 0));
    /** ∇ log q at the first position. */
    const score = (r: readonly number[]) =>
      logSoftmaxReference(model.logits([])).map((l, v) => Number(v === r[0]) - Math.exp(l));
    const exact = [0, 1, 2].map((v) => model.expect((r) => reward(r) * score(r)[v]!));
    const estimate = [0, 1, 2].map((v) =>
      model.expect((a) =>
        model.expect((b) => {
          const [first, second] = leaveOneOut([reward(a), reward(b)]);
          return (first! * score(a)[v]! + second! * score(b)[v]!) / 2;
        }),
      ),
    );
    expect(relativeError(estimate, exact)).toBeLessThan(1e-12);
  });
});

describe('generalisedAdvantages', () => {
  const rewards = [0.1, -0.2, 0, 1];
  const values = [0.5, 0.4, 0.2, 0.8];

  it('is the return less the value at λ = 1 and one step at λ = 0', () => {
    const full = generalisedAdvantages(rewards, values, { gamma: 1, lambda: 1 });
    [0.9, 0.8, 1, 1].forEach((r, t) => {
      expect(full.returns[t]).toBeCloseTo(r, 12);
      expect(full.advantages[t]).toBeCloseTo(r - values[t]!, 12);
    });
    const one = generalisedAdvantages(rewards, values, { gamma: 0.9, lambda: 0 });
    [0.1 + 0.36 - 0.5, -0.2 + 0.18 - 0.4, 0.72 - 0.2, 1 - 0.8].forEach((a, t) =>
      expect(one.advantages[t]).toBeCloseTo(a, 12),
    );
  });

  it('is the sum Σ (γλ)^l δ', () => {
    const [gamma, lambda] = [0.97, 0.95];
    const { advantages } = generalisedAdvantages(rewards, values, { gamma, lambda });
    const delta = rewards.map((r, t) => r + gamma * (values[t + 1] ?? 0) - values[t]!);
    rewards.forEach((_, t) => {
      const sum = delta.slice(t).reduce((total, d, l) => total + (gamma * lambda) ** l * d, 0);
      expect(advantages[t]).toBeCloseTo(sum, 12);
    });
  });

  it('vanishes for a value head that is right', () => {
    // V_t is the sum of the rewards to come.
    const right = [0.9, 0.8, 1, 1];
    const { advantages } = generalisedAdvantages(rewards, right, { gamma: 1, lambda: 0.95 });
    advantages.forEach((a) => expect(a).toBeCloseTo(0, 12));
  });
});

describe('whiten', () => {
  it('gives a batch mean 0 and variance 1 over all its tokens', () => {
    const rows = whiten([[1, 2, 3], [10], [-4, 0]]);
    const flat = rows.flatMap((row) => [...row]);
    expect(flat.reduce((a, b) => a + b, 0)).toBeCloseTo(0, 12);
    expect(flat.reduce((a, b) => a + b * b, 0) / (flat.length - 1)).toBeCloseTo(1, 7);
    expect(rows.map(({ length }) => length)).toEqual([3, 1, 2]);
  });

  it('stays finite for equal advantages, one token and none', () => {
    expect([...whiten([[2, 2]])[0]!]).toEqual([0, 0]);
    expect([...whiten([[5]])[0]!]).toEqual([0]);
    expect(whiten([])).toEqual([]);
  });
});

describe('the value head', () => {
  const dim = 5;
  const samples: ValueSample[] = Array.from({ length: 40 }, (_, i) => {
    const [a, b] = normals(900 + i, 2);
    return { hidden: normals(i, dim), return: a!, oldValue: 0.3 * b! };
  });
  const theta = normals(77, dim + 1, 0.3);
  const head = (x: ArrayLike<number>) => ({
    weight: Float64Array.from({ length: dim }, (_, i) => x[i]!),
    bias: x[dim]!,
  });

  it('has the finite difference of its clipped loss as gradient, clipped samples included', () => {
    const { gradient } = valueLoss(head(theta), samples, 0.2);
    const slope = centralDifferences(
      (x) => valueLoss(head(x), samples, 0.2).loss,
      theta,
      [...theta.keys()],
      1e-6,
    );
    expect(relativeError([...gradient.weight, gradient.bias], slope)).toBeLessThan(1e-6);
    // The clip matters here: without it the gradient is another one.
    const free = valueLoss(head(theta), samples, 1e9).gradient;
    expect(relativeError([...gradient.weight], [...free.weight])).toBeGreaterThan(0.01);
  });

  it('is ½ mean (V − R)² where nothing is clipped', () => {
    const { loss } = valueLoss(head(theta), samples, 1e9);
    const direct = samples.map((s) => (valueOf(head(theta), s.hidden) - s.return) ** 2);
    expect(loss).toBeCloseTo(direct.reduce((a, b) => a + b, 0) / 2 / samples.length, 12);
  });

  it('moves by Adam, as the adapter’s kernel does', () => {
    const state = startValue(dim);
    const parameter = new Float64Array(dim + 1);
    const m = new Float64Array(dim + 1);
    const v = new Float64Array(dim + 1);
    for (let step = 1; step <= 3; step++) {
      const g = normals(step, dim + 1);
      updateValue(state, head(g), 0.05);
      for (let i = 0; i <= dim; i++) {
        m[i] = 0.9 * m[i]! + 0.1 * g[i]!;
        v[i] = 0.999 * v[i]! + 0.001 * g[i]! ** 2;
        const up = m[i]! / (1 - 0.9 ** step);
        parameter[i]! -= (0.05 * up) / (Math.sqrt(v[i]! / (1 - 0.999 ** step)) + 1e-8);
      }
    }
    expect(relativeError([...state.head.weight, state.head.bias], parameter)).toBeLessThan(1e-12);
  });

  it('learns a linear value', () => {
    const state = startValue(dim);
    const truth = head(normals(5, dim + 1));
    for (let step = 0; step < 400; step++) {
      const batch = samples.map((s) => ({
        ...s,
        return: valueOf(truth, s.hidden),
        oldValue: valueOf(state.head, s.hidden),
      }));
      updateValue(state, valueLoss(state.head, batch, 0.2).gradient, 0.05);
    }
    expect(relativeError(state.head.weight, truth.weight)).toBeLessThan(1e-2);
  });
});
