/** Known answers on a student with free logits (METHOD.md §§4.2, 4.4, 4.5, 11). */
import { describe, expect, it } from 'vitest';
import {
  drawnPairs,
  keyOf,
  mixtureProbability,
  planned,
  randomModel,
  sequenceTv,
  TabularModel,
  TabularRows,
  teacherPath,
  trainTabular,
  UNIT,
} from '../train/tabular.testing';
import { RefusalTrie } from '../target/target';
import type { Divergence, EngineObjective } from '../../engine/types';
import {
  likelihoodExample,
  mixtureExample,
  nllReading,
  tokenExample,
  withStudentPath,
} from './rows';

const EOS = 3;
const trie = new RefusalTrie([
  [0, 1, EOS],
  [0, 2, EOS],
]);

/** Answers start with 1 or 2 and hardly ever with the refusals' 0: π and ρ are all but disjoint. */
const answers = new TabularModel(4, 3, EOS, (prefix) => {
  if (prefix.length === 0) return [-9, 1, 0.5, -9];
  return [0, 0.7, -0.4, 0.3].map((z, k) => z * (1 + prefix[0]! * 0.3) - k * 0.1);
});

const divergence = (name: Divergence): EngineObjective => ({
  family: 'divergence',
  name,
});

/** Rows over all base answers and wordings, each as likely as it is, from single examples. */
function expectedMixture(base: TabularModel, safe: number): TabularRows {
  const rows = new TabularRows();
  for (const { sample, refusal, weight } of drawnPairs(base, trie)) {
    const example = planned(safe, sample, refusal);
    const teacher = example.paths.map(({ tokens }) => teacherPath(base, tokens));
    rows.mixture(mixtureExample(example, teacher, trie, UNIT), base, weight);
  }
  return rows;
}

/** A warm start: the student gives the refusal's tokens a quarter each. */
const warm = () => new TabularModel(4, 3, EOS, () => [0, 0, 0, 0]);

function refusalShare(model: TabularModel): number {
  return trie.strings.reduce((sum, string) => sum + model.probability(string), 0);
}

describe('what the minimiser is, on free logits', () => {
  it.each([0.9, 0.55, 0.45, 0.1])('exact TV learns the mixture, at s = %d', (safe) => {
    const student = trainTabular(
      warm(),
      divergence('tv'),
      { steps: 600, learningRate: 0.1 },
      expectedMixture(answers, safe),
    );
    const p = mixtureProbability(answers, trie, safe);
    expect(1 - refusalShare(student)).toBeCloseTo(safe, 2);
    expect(sequenceTv(student.strings, p, (r) => student.probability(r))).toBeLessThan(0.02);
  });

  it.each([
    [0.9, 1],
    [0.55, 1],
    [0.45, 0],
    [0.1, 0],
  ])('naive TV thresholds: at s = %d it answers with probability %d', (safe, answered) => {
    const student = trainTabular(
      warm(),
      divergence('naive-tv'),
      { steps: 600, learningRate: 0.1 },
      expectedMixture(answers, safe),
    );
    expect(1 - refusalShare(student)).toBeCloseTo(answered, 2);
  });

  it.each(['kl', 'js', 'reverse-kl'] as const)('%s learns the mixture too', (name) => {
    // Reverse KL is infinite where p = 0, so π must be everywhere.
    const base = randomModel(5, 4, 3, 1.5);
    const student = trainTabular(
      warm(),
      divergence(name),
      { steps: 800, learningRate: 0.1 },
      expectedMixture(base, 0.6),
    );
    const p = mixtureProbability(base, trie, 0.6);
    expect(sequenceTv(student.strings, p, (r) => student.probability(r))).toBeLessThan(2e-3);
  });

  it('NLL of the system’s answers learns the mixture', () => {
    const rows = new TabularRows();
    for (const { sample, refusal, weight } of drawnPairs(answers, trie)) {
      const example = planned(0.3, sample, refusal);
      rows.mixture(likelihoodExample(example, UNIT), answers, weight);
    }
    const student = trainTabular(warm(), divergence('kl'), { steps: 600, learningRate: 0.2 }, rows);
    const p = mixtureProbability(answers, trie, 0.3);
    expect(sequenceTv(student.strings, p, (r) => student.probability(r))).toBeLessThan(2e-3);
  });

  it('refusal perplexity alone ends in refusing always', () => {
    // Half of the prompts are unsafe; the student has no prompt to tell them apart by.
    const rows = new TabularRows();
    for (const safe of [0.9, 0.1]) {
      for (const { sample, refusal, weight } of drawnPairs(answers, trie)) {
        const example = nllReading(planned(safe, sample, refusal), 'refusal-only');
        rows.mixture(likelihoodExample(example, UNIT), answers, weight);
      }
    }
    const student = trainTabular(warm(), divergence('kl'), { steps: 300, learningRate: 0.2 }, rows);
    expect(refusalShare(student)).toBeGreaterThan(0.99);
  });

  it.each([0.3, 0.6])(
    'TaiLr stands between probability matching and thresholding, γ = %d',
    (gamma) => {
      // One position, p over four tokens: γ + (1−γ)q_v ∝ p_v on the tokens that stay (derived).
      const p = [0.5, 0.3, 0.15, 0.05];
      const rows = new TabularRows();
      p.forEach((weight, token) => {
        const path = { kind: 'sample', tokens: [token], weight: 1 } as const;
        rows.tokens(tokenExample({ index: 0, prompt: [0], safe: 1, paths: [path] }, UNIT), weight);
      });
      const student = trainTabular(
        new TabularModel(4, 1, EOS, () => [0, 0, 0, 0]),
        { family: 'token', objective: { name: 'tailr', gamma, minWeight: 0 } },
        { steps: 2000, learningRate: 0.1 },
        rows,
      );
      // Keep the largest tokens whose share stays positive.
      let kept = p.length;
      const share = (v: number) => {
        const mass = p.slice(0, kept).reduce((a, b) => a + b, 0);
        return ((p[v]! / mass) * (gamma * kept + 1 - gamma) - gamma) / (1 - gamma);
      };
      while (share(kept - 1) <= 0) kept--;
      expect(kept).toBeLessThan(p.length);
      const q = student.next([]);
      p.forEach((_, v) => expect(q[v]).toBeCloseTo(v < kept ? share(v) : 0, 2));
    },
  );
});

describe('from a cold start, with a refusal that the student finds all but impossible', () => {
  const cold = () => new TabularModel(4, 3, EOS, () => [-14, 0, 0, 0]);
  const rows = expectedMixture(answers, 0.2);
  const pushed = (name: 'tv' | 'kl') => {
    const { at } = rows.evaluate(cold(), divergence(name));
    return at.get('')!.reduce((sum, g) => sum + Math.abs(g), 0);
  };

  it('TV hardly pushes at all and KL pushes hardest (METHOD.md §4.3)', () => {
    // Nothing of TV's gradient at the refusal's first token is left, as q there is e⁻¹⁵.
    const { at } = rows.evaluate(cold(), divergence('tv'));
    expect(Math.abs(at.get('')![0]!)).toBeLessThan(1e-5);
    expect(pushed('kl')).toBeGreaterThan(1.5);
  });

  it('a short KL warm-up lets TV learn the mixture all the same', () => {
    const warmed = trainTabular(cold(), divergence('kl'), { steps: 150, learningRate: 0.3 }, rows);
    expect(refusalShare(warmed)).toBeGreaterThan(0.05);
    const student = trainTabular(warmed, divergence('tv'), { steps: 600, learningRate: 0.1 }, rows);
    expect(refusalShare(student)).toBeCloseTo(0.8, 2);
  });
});

describe('exact identities of the two-path form', () => {
  it('forward KL is its compensation identity: s·KL(π‖q) + (1−s)·NLL of the refusal', () => {
    for (const seed of [1, 2, 3, 4]) {
      const base = randomModel(seed, 4, 3);
      const student = randomModel(seed + 90, 4, 3);
      const safe = [0.95, 0.6, 0.3, 0.05][seed - 1]!;
      const p = mixtureProbability(base, trie, safe);
      const kl = (a: (r: number[]) => number, b: (r: number[]) => number) =>
        base.strings.reduce((sum, r) => sum + (a(r) === 0 ? 0 : a(r) * Math.log(a(r) / b(r))), 0);
      const q = (r: number[]) => student.probability(r);
      const pi = (r: number[]) => base.probability(r);
      const refusalNll = (of: (r: number[]) => number) =>
        trie.strings.reduce((sum, r) => sum - Math.log(of([...r])) / trie.strings.length, 0);
      const simple = safe * kl(pi, q) + (1 - safe) * refusalNll(q);
      const bracket = safe * kl(pi, p) + (1 - safe) * refusalNll(p);
      expect(simple).toBeCloseTo(kl(p, q) + bracket, 10);
      // Chain rule: the rows' expected loss is KL(p‖q) of whole sequences, from f32 coefficients.
      const rows = expectedMixture(base, safe);
      expect(rows.evaluate(student, divergence('kl')).loss).toBeCloseTo(kl(p, q), 5);
    }
  });

  it('has the same expected gradient as the simple loss', () => {
    const base = randomModel(11, 4, 3);
    const student = randomModel(12, 4, 3);
    const exact = expectedMixture(base, 0.7).evaluate(student, divergence('kl'));
    // Simple: target π along samples (w = 0), NLL along refusals.
    const pass = new TabularRows();
    const refuse = new TabularRows();
    for (const { sample, refusal, weight } of drawnPairs(base, trie)) {
      const plain = {
        tokens: sample,
        coef: new Float32Array(sample.length).fill(0.7),
        refusalPosterior: new Float32Array(sample.length),
        refusalNext: sample.map(() => ({ tokens: [], probs: [] })),
      };
      pass.mixture({ prompt: [0], paths: [plain] }, base, weight);
      const example = planned(0.7, sample, refusal);
      const only = { ...example, paths: example.paths.slice(1) };
      refuse.mixture(likelihoodExample(only, UNIT, trie), base, weight);
    }
    const passed = pass.evaluate(student, divergence('kl')).at;
    const refused = refuse.evaluate(student, divergence('kl')).at;
    expect(exact.at.size).toBeGreaterThan(10);
    for (const [key, gradient] of exact.at) {
      gradient.forEach((g, k) => {
        expect((passed.get(key)?.[k] ?? 0) + (refused.get(key)?.[k] ?? 0)).toBeCloseTo(g, 6);
      });
    }
  });

  it('has a dense refusal path agree with sampled wordings in expectation, and both with tokens', () => {
    const student = randomModel(31, 4, 3);
    const rows = {
      sampled: new TabularRows(),
      dense: new TabularRows(),
      tokens: new TabularRows(),
    };
    for (const refusal of trie.strings) {
      const example = planned(0.4, answers.strings[0]!, refusal);
      rows.sampled.mixture(likelihoodExample(example, UNIT), answers, 0.5);
      rows.dense.mixture(likelihoodExample(example, UNIT, trie), answers, 0.5);
      rows.tokens.tokens(tokenExample(example, UNIT), 0.5);
    }
    const sampled = rows.sampled.evaluate(student, divergence('kl')).at;
    const dense = rows.dense.evaluate(student, divergence('kl')).at;
    const tokens = rows.tokens.evaluate(student, {
      family: 'token',
      objective: { name: 'likelihood' },
    }).at;
    expect(sampled.size).toBeGreaterThan(3);
    for (const [key, gradient] of sampled) {
      gradient.forEach((g, k) => {
        expect(dense.get(key)![k]).toBeCloseTo(g, 6);
        expect(tokens.get(key)![k]).toBeCloseTo(g, 6);
      });
    }
  });

  it('takes the asked share along the student’s own answer, and one unit in all at t = 1', () => {
    const example = withStudentPath(planned(0.8, [1, EOS], [0, 1, EOS]), [2, 2, EOS], 0.5);
    expect(example.paths.map(({ kind, weight }) => [kind, weight])).toEqual([
      ['sample', 0.4],
      ['refusal', 0.5 * (1 - 0.8)],
      ['student', 0.5],
    ]);
    const teacher = example.paths.map(({ tokens }) => teacherPath(answers, tokens));
    const { paths } = mixtureExample(example, teacher, trie, UNIT);
    expect(paths.reduce((sum, { coef }) => sum + coef[0]!, 0)).toBeCloseTo(1, 6);
    expect(paths[2]!.coef[1]).toBeCloseTo(0.5, 6);
    // The student's answer leaves every refusal at once: from there on the target is π.
    expect([...paths[2]!.refusalPosterior].slice(1)).toEqual([0, 0]);
    expect(keyOf(paths[2]!.tokens)).toBe('2 2 3');
  });
});
