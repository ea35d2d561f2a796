import { describe, expect, it } from 'vitest';
import { logSoftmaxReference, targetReference } from '../../kernels/loss/divergence.reference';
import type { Divergence, EngineObjective } from '../../engine/types';
import { centralDifferences, normals, relativeError } from '../../kernels/gpu/testing';
import { engineObjective, positionLoss, type PositionTarget } from './position';
import { OBJECTIVE_NAMES, parseObjective } from './spec';

const VOCABULARY = 37;
const all = Array.from({ length: VOCABULARY }, (_, k) => k);

function mixture(seed: number, w: number): PositionTarget & { kind: 'mixture' } {
  return {
    kind: 'mixture',
    teacherLogits: normals(seed + 50, VOCABULARY, 1.5),
    w,
    rho: { token: [3, 20, 36], prob: [0.5, 0.25, 0.25] },
  };
}

const LIKELIHOOD: EngineObjective = { family: 'token', objective: { name: 'likelihood' } };

const divergence = (name: Divergence): EngineObjective => ({
  family: 'divergence',
  name,
});

/** log q of a token at perturbed logits. */
const logQ = (z: ArrayLike<number>, y: number) => logSoftmaxReference(z)[y]!;

describe('every objective', () => {
  it.each(OBJECTIVE_NAMES)('%s has a kernel that its own kind of target fits', (name) => {
    const kernel = engineObjective(parseObjective(name));
    const z = normals(1, VOCABULARY);
    const target: PositionTarget =
      kernel.family === 'divergence'
        ? mixture(1, 0.4)
        : { kind: 'token', token: 4, advantage: 1, oldLogProb: -3 };
    const { value, gradient } = positionLoss(kernel, z, target);
    expect(Number.isFinite(value)).toBe(true);
    // dlogits of a softmax sum to zero.
    expect(Math.abs(gradient.reduce((a, b) => a + b, 0))).toBeLessThan(1e-12);
    expect(gradient.some((g) => Math.abs(g) > 1e-6)).toBe(true);
  });

  it('refuses a target of the other kind', () => {
    const tokens: PositionTarget = { kind: 'token', token: 0, advantage: 1, oldLogProb: 0 };
    expect(() => positionLoss(divergence('kl'), normals(1, VOCABULARY), tokens)).toThrow(
      RangeError,
    );
    expect(() => positionLoss(LIKELIHOOD, [0, 0], mixture(1, 0))).toThrow(RangeError);
  });
});

describe('divergence gradients', () => {
  it.each(['tv', 'naive-tv', 'kl', 'reverse-kl', 'js'] as const)(
    '%s is the finite difference of its value, away from kinks',
    (name) => {
      let compared = 0;
      for (const [seed, w] of [0, 0.02, 0.4, 0.97].entries()) {
        const z = normals(seed, VOCABULARY, 1.5);
        const target = mixture(seed, w);
        const { gradient } = positionLoss(divergence(name), z, target);
        // A kink moves the slope of every logit: skip rows that have one close by (METHOD.md §11).
        const q = logSoftmaxReference(z).map(Math.exp);
        const p = targetReference(target.teacherLogits, w, target.rho);
        const pi = targetReference(target.teacherLogits, 0, target.rho);
        const near = (a: Float64Array) => q.some((value, v) => Math.abs(value - a[v]!) < 1e-6);
        if ((name === 'tv' && near(p)) || (name === 'naive-tv' && near(pi))) continue;
        const slope = centralDifferences(
          (x) => positionLoss(divergence(name), x, target).value,
          z,
          all,
          1e-7,
        );
        expect(relativeError(gradient, slope)).toBeLessThan(1e-6);
        compared++;
      }
      expect(compared).toBeGreaterThan(1);
    },
  );

  it('has the L1 norms of METHOD.md §4.3', () => {
    // Two outcomes: teacher p(v), student q(v).
    const norm = (name: 'tv' | 'kl' | 'js', p: number, q: number) => {
      const target: PositionTarget = {
        kind: 'mixture',
        teacherLogits: [Math.log(p), Math.log(1 - p)],
        w: 0,
        rho: { token: [], prob: [] },
      };
      const z = [Math.log(q), Math.log(1 - q)];
      const { gradient } = positionLoss(divergence(name), z, target);
      return gradient.reduce((sum, g) => sum + Math.abs(g), 0);
    };
    const table: [number, number, number, number, number][] = [
      [0.99, 1e-6, 2e-6, 1.98, 1e-5],
      [0.99, 1e-3, 2e-3, 1.98, 7e-3],
      [0.99, 0.1, 0.18, 1.78, 0.21],
      [0.99, 0.5, 0.5, 0.98, 0.27],
      [0.99, 0.9, 0.18, 0.18, 0.06],
      [0.3, 0.05, 0.095, 0.5, 0.07],
    ];
    for (const [p, q, tv, kl, js] of table) {
      expect(norm('tv', p, q) / tv).toBeCloseTo(1, 1);
      expect(norm('kl', p, q) / kl).toBeCloseTo(1, 1);
      // JS is printed with one digit, or two from a tenth up.
      expect(Number(norm('js', p, q).toPrecision(js < 0.1 ? 1 : 2))).toBe(js);
    }
  });

  it('keeps TV at ½ and KL at 2 in L1, whatever the logits', () => {
    for (let seed = 0; seed < 50; seed++) {
      const z = normals(seed, VOCABULARY, 4);
      const norm = (name: 'tv' | 'kl') =>
        positionLoss(divergence(name), z, mixture(seed, 0.5)).gradient.reduce(
          (sum, g) => sum + Math.abs(g),
          0,
        );
      expect(norm('tv')).toBeLessThanOrEqual(0.5 + 1e-12);
      expect(norm('kl')).toBeLessThanOrEqual(2 + 1e-12);
    }
  });
});

describe('naive TV', () => {
  it('is at least TV of the mixture and equals it where one branch is alone', () => {
    for (let seed = 0; seed < 40; seed++) {
      for (const w of [0, 0.2, 0.7, 1]) {
        const z = normals(seed, VOCABULARY, 2);
        const naive = positionLoss(divergence('naive-tv'), z, mixture(seed, w)).value;
        const exact = positionLoss(divergence('tv'), z, mixture(seed, w)).value;
        expect(naive).toBeGreaterThanOrEqual(exact - 1e-12);
        if (w === 0 || w === 1) expect(naive).toBeCloseTo(exact, 12);
      }
    }
  });
});

describe('losses on one token', () => {
  const z = normals(8, VOCABULARY);
  const row = (advantage: number, oldLogProb = 0): PositionTarget => ({
    kind: 'token',
    token: 4,
    advantage,
    oldLogProb,
  });
  const tailr = (gamma: number, minWeight = 0): EngineObjective => ({
    family: 'token',
    objective: { name: 'tailr', gamma, minWeight },
  });
  const ppo: EngineObjective = { family: 'token', objective: { name: 'ppo', clip: 0.2 } };

  it.each([1, -0.75])('is the finite difference of −A log q, A = %d', (advantage) => {
    const slope = centralDifferences((x) => -advantage * logQ(x, 4), z, all);
    expect(relativeError(positionLoss(LIKELIHOOD, z, row(advantage)).gradient, slope)).toBeLessThan(
      1e-8,
    );
  });

  it('is the finite difference of PPO’s surrogate, clipped rows included', () => {
    const at = logQ(z, 4);
    let clipped = 0;
    for (const advantage of [1.5, -1.5]) {
      for (const ratio of [0.5, 0.79, 0.81, 1, 1.19, 1.21, 2]) {
        const old = at - Math.log(ratio);
        // −min(r A, clip(r) A), written without the module.
        const surrogate = (x: ArrayLike<number>) => {
          const r = Math.exp(logQ(x, 4) - old);
          return -Math.min(r * advantage, Math.min(1.2, Math.max(0.8, r)) * advantage);
        };
        const { value, gradient } = positionLoss(ppo, z, row(advantage, old));
        expect(value).toBeCloseTo(surrogate(z), 12);
        expect(relativeError(gradient, centralDifferences(surrogate, z, all))).toBeLessThan(1e-7);
        if (gradient.every((g) => g === 0)) clipped++;
      }
    }
    expect(clipped).toBe(4);
  });

  it.each([0.1, 0.5, 0.8])('follows −log(γ + (1−γ)q)/(1−γ) for TaiLr with γ = %d', (gamma) => {
    const potential = (x: ArrayLike<number>) =>
      -Math.log(gamma + (1 - gamma) * Math.exp(logQ(x, 4))) / (1 - gamma);
    const slope = centralDifferences(potential, z, all);
    expect(relativeError(positionLoss(tailr(gamma), z, row(1)).gradient, slope)).toBeLessThan(1e-7);
  });

  it('is nearly maximum likelihood at small γ and the gradient of 1 − q at γ = 1', () => {
    const nll = positionLoss(LIKELIHOOD, z, row(1)).gradient;
    expect(relativeError(positionLoss(tailr(1e-9), z, row(1)).gradient, nll)).toBeLessThan(1e-6);
    const slope = centralDifferences((x) => 1 - Math.exp(logQ(x, 4)), z, all);
    expect(relativeError(positionLoss(tailr(1), z, row(1)).gradient, slope)).toBeLessThan(1e-7);
  });

  it('weighs a token at least minWeight', () => {
    const cold = z.map((value, k) => (k === 4 ? -30 : value));
    const { gradient } = positionLoss(tailr(0.5, 0.2), cold, row(1));
    expect(gradient[4]).toBeCloseTo(-0.2, 6);
    expect(positionLoss(tailr(0.5), cold, row(1)).gradient[4]).toBeCloseTo(0, 6);
  });

  it('makes PPO’s first step REINFORCE’s', () => {
    const first = positionLoss(ppo, z, row(-0.6, logQ(z, 4))).gradient;
    expect(relativeError(first, positionLoss(LIKELIHOOD, z, row(-0.6)).gradient)).toBeLessThan(
      1e-12,
    );
  });

  it('is KL to a target that is that token', () => {
    const target: PositionTarget = {
      kind: 'mixture',
      teacherLogits: normals(3, VOCABULARY),
      w: 1,
      rho: { token: [4], prob: [1] },
    };
    const kl = positionLoss(divergence('kl'), z, target);
    const nll = positionLoss(LIKELIHOOD, z, row(1));
    expect(kl.value).toBeCloseTo(nll.value, 12);
    expect(relativeError(kl.gradient, nll.gradient)).toBeLessThan(1e-12);
  });
});
