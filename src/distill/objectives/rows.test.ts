import { describe, expect, it } from 'vitest';
import { lossRows } from '../../engine/loss-rows';
import { pack, packedAs } from '../../engine/pack';
import type { Batch, Example, TokenPath } from '../../engine/types';
import { incompatible, parseGuardCase, type GuardCase } from '../target/guard-case';
import { planned } from '../train/tabular.testing';
import { RefusalTrie } from '../target/target';
import { OBJECTIVES } from './catalogue';
import { engineObjective } from './position';
import {
  distillationBatch,
  likelihoodExample,
  needsTeacher,
  nllReading,
  policyExample,
  tokenExample,
} from './rows';
import { OBJECTIVE_NAMES, parseObjective, type ObjectiveSpec } from './spec';

const trie = new RefusalTrie([
  [0, 1, 3],
  [0, 2, 3],
]);
const scale = { batchSize: 2, maxNewTokens: 4 };

describe('tokenExample', () => {
  it('weighs each token by its path’s share and one global constant, never by the path’s length', () => {
    const { paths } = tokenExample(planned(0.75, [1, 2], [0, 1, 3]), scale);
    expect([...paths[0]!.coef].map((c) => c * 8)).toEqual([0.75, 0.75]);
    expect([...paths[1]!.coef].map((c) => c * 8)).toEqual([0.25, 0.25, 0.25]);
    expect([...paths[1]!.advantage]).toEqual([1, 1, 1]);
  });
});

describe('likelihoodExample', () => {
  it('gives all paths one target at the position that they share', () => {
    const { paths } = likelihoodExample(planned(0.75, [1, 2], [0, 1, 3]), scale);
    for (const { refusalNext, refusalPosterior } of paths) {
      expect(refusalNext[0]).toEqual({ tokens: [1, 0], probs: [0.75, 0.25] });
      expect(refusalPosterior.every((w) => w === 1)).toBe(true);
    }
    expect(paths[1]!.refusalNext[1]).toEqual({ tokens: [1], probs: [1] });
  });

  it('reads all wordings along a dense refusal path', () => {
    const { paths } = likelihoodExample(planned(0.75, [1, 2], [0, 1, 3]), scale, trie);
    expect(paths[1]!.refusalNext[1]).toEqual({ tokens: [1, 2], probs: [0.5, 0.5] });
    expect(paths[0]!.refusalNext[1]).toEqual({ tokens: [2], probs: [1] });
  });

  it('packs into loss rows that the engine takes', () => {
    const example = likelihoodExample(planned(0.75, [1, 2], [0, 1, 3]), scale, trie);
    const teacher = example.paths.map(({ tokens }) => ({
      logProbs: new Float32Array(tokens.length),
      hidden: new Float32Array(tokens.length * 4),
    }));
    const batch = { family: 'divergence', examples: [example], teacher: [teacher] } as const;
    const rows = lossRows(pack(packedAs(batch), 2), batch, 4);
    expect([...rows.coef].map((c) => c * 8)).toEqual([1, 0.75, 0.25, 0.25]);
  });
});

describe('distillationBatch', () => {
  const example = planned(0.75, [1, 2], [0, 1, 3]);
  const teacher = example.paths.map(({ tokens }) => ({
    logProbs: new Float32Array(tokens.length).fill(-1),
    hidden: new Float32Array(0),
  }));
  const cases = [
    parseGuardCase('prompt'),
    parseGuardCase('response'),
    parseGuardCase({ kind: 'response', sampling: 'mean' }),
  ];
  const batchOf = (
    objective: ObjectiveSpec,
    guardCase: GuardCase,
    of = [example],
    teachers: Parameters<typeof distillationBatch>[2] = of.map(() => teacher),
  ) => distillationBatch({ ...scale, objective, guardCase }, of, teachers, trie);
  const mixtures = (batch: Batch) => {
    if (batch.family !== 'divergence') throw new Error(batch.family);
    return batch;
  };

  it.each(OBJECTIVE_NAMES)(
    'makes a batch of %s for the kernel that it names, where it can be',
    (name) => {
      const objective = parseObjective(name);
      for (const guardCase of cases) {
        if (incompatible(objective, guardCase)) continue;
        if (OBJECTIVES[name].needs.answers === 'student') {
          expect(() => batchOf(objective, guardCase)).toThrow(RangeError);
          continue;
        }
        const batch = batchOf(objective, guardCase);
        expect(batch.family).toBe(engineObjective(objective).family);
        const without = () => batchOf(objective, guardCase, [example], [null]);
        if (needsTeacher(objective, guardCase, example)) expect(without).toThrow(/frozen student/);
        else expect(without().examples).toEqual(batch.examples);
      }
    },
  );

  it('keeps each example beside its own teacher, and leaves out what has nothing to say', () => {
    const nll = { ...parseObjective('nll'), reading: 'refusal-only' } as const;
    const asked = planned(0.25, [2], [0, 2, 3]);
    const batch = mixtures(batchOf(nll, cases[0]!, [example, asked], [null, null]));
    expect(batch.examples).toHaveLength(1);
    expect(batch.examples[0]!.paths.map(({ tokens }) => tokens)).toEqual([[0, 2, 3]]);
    expect(batch.teacher).toEqual([[null]]);
    const others = mixtures(batchOf(parseObjective('kl'), cases[0]!, [example, example]));
    expect(others.teacher).toEqual([teacher, teacher]);
  });

  it('aims KL at the mixture in case A and at the answers themselves in case B', () => {
    const path = (guardCase: GuardCase) =>
      mixtures(batchOf(parseObjective('kl'), guardCase)).examples[0]!.paths[0]!;
    expect(path(cases[0]!).refusalPosterior[0]).toBeCloseTo(0.25, 6);
    expect(path(cases[1]!).refusalPosterior[0]).toBe(1);
    expect(path(cases[1]!).refusalNext[1]).toEqual({ tokens: [2], probs: [1] });
  });

  it('can aim KL at whole distributions where a response guard has next to no doubts', () => {
    const dense = parseGuardCase({ kind: 'response', denseBelow: 0.02 });
    const kl = parseObjective('kl');
    expect(needsTeacher(kl, dense, { safe: 0.99 })).toBe(true);
    expect(needsTeacher(kl, dense, { safe: 0.97 })).toBe(false);
    expect(needsTeacher(kl, cases[1]!, { safe: 1 })).toBe(false);
    expect(needsTeacher(parseObjective('nll'), dense, { safe: 1 })).toBe(false);
    const sure = { ...example, safe: 1, paths: example.paths.slice(0, 1) };
    const [path] = mixtures(batchOf(kl, dense, [sure])).examples[0]!.paths;
    expect([...path!.refusalPosterior].every((w) => w < 1e-12)).toBe(true);
    expect([...path!.coef].map((c) => c * 8)).toEqual([1, 0.75]);
  });
});

describe('nllReading', () => {
  const weights = (safe: number, reading: 'system' | 'hard' | 'refusal-only') =>
    nllReading(planned(safe, [1], [0, 1, 3]), reading).paths.map(({ kind, weight }) => [
      kind,
      weight,
    ]);

  it('keeps both branches, the likelier one, or refusals alone', () => {
    expect(weights(0.75, 'system')).toEqual([
      ['sample', 0.75],
      ['refusal', 0.25],
    ]);
    expect(weights(0.75, 'hard')).toEqual([['sample', 1]]);
    expect(weights(0.25, 'hard')).toEqual([['refusal', 1]]);
    expect(weights(0.75, 'refusal-only')).toEqual([]);
    expect(weights(0.25, 'refusal-only')).toEqual([['refusal', 1]]);
  });
});

describe('policyExample', () => {
  const rollout = (tokens: number[], advantage: number) => ({
    tokens,
    logProbs: tokens.map((_, t) => -1 - t),
    advantages: tokens.map(() => advantage),
  });

  it('is the mean over a prompt’s answers', () => {
    const { paths } = policyExample([7], [rollout([1, 2], 0.5), rollout([3], -2)], scale);
    expect([...paths[0]!.coef].map((c) => c * 16)).toEqual([1, 1]);
    expect([...paths[0]!.advantage]).toEqual([0.5, 0.5]);
    expect([...paths[0]!.oldLogProb]).toEqual([-1, -2]);
    expect([...paths[1]!.advantage]).toEqual([-2]);
  });

  it('refuses a rollout with missing numbers', () => {
    expect(() => policyExample([7], [{ ...rollout([1, 2], 1), logProbs: [-1] }], scale)).toThrow(
      RangeError,
    );
  });
});

describe('rows of token losses', () => {
  const packed = (examples: readonly Example<TokenPath>[], prefix: number) => {
    const of = { family: 'token', examples } as const;
    const batch = pack(packedAs(of), prefix);
    const rows = lossRows(batch, of, 4);
    if (rows.family !== 'token') throw new Error(rows.family);
    return { batch, rows };
  };
  const examples = [
    tokenExample({ ...planned(0.75, [1, 2], [0, 1, 3]), prompt: [8, 9] }, scale),
    policyExample([5, 6, 7], [{ tokens: [4], logProbs: [-2], advantages: [-1] }], scale),
  ];

  it('gives each path the prompt’s last token, and every token one row with its context', () => {
    const { batch, rows } = packed(examples, 16);
    // Rows behind the prefix: 8 | 9 1 | 9 0 1 | 5 6 | 7; an example's first loss row says nothing.
    expect([...batch.tokens.subarray(16)]).toEqual([8, 9, 1, 9, 0, 1, 5, 6, 7]);
    expect([...batch.positions.subarray(16)]).toEqual([16, 17, 18, 17, 18, 19, 16, 17, 18]);
    expect([...batch.lossRows]).toEqual([16, 17, 18, 19, 20, 21, 23, 24]);
    expect([...rows.token]).toEqual([0, 1, 2, 0, 1, 3, 0, 4]);
    expect([...rows.coef].map((c) => c * 8)).toEqual([0, 0.75, 0.75, 0.25, 0.25, 0.25, 0, 1]);
    expect([...rows.advantage]).toEqual([0, 1, 1, 1, 1, 1, 0, -1]);
    expect([...rows.oldLogProb]).toEqual([0, 0, 0, 0, 0, 0, 0, -2]);
  });

  it('takes an example without paths, and refuses what does not fit', () => {
    const empty = { prompt: [1, 2], paths: [] };
    expect([...packed([empty], 0).rows.coef]).toEqual([0]);
    const [first] = examples;
    expect(() => packed([{ ...first!, prompt: [1] }], 0)).toThrow(RangeError);
    const short = { ...first!.paths[0]!, coef: new Float32Array(1) };
    expect(() => packed([{ prompt: [1, 2], paths: [short] }], 0)).toThrow(RangeError);
  });
});

describe('the catalogue', () => {
  it.each(OBJECTIVE_NAMES)('says of %s what its kernel reads, in few words', (name) => {
    const { needs, label, summary } = OBJECTIVES[name];
    if (needs.mixture) expect(engineObjective(parseObjective(name)).family).toBe('divergence');
    if (needs.advantage) expect(engineObjective(parseObjective(name)).family).toBe('token');
    expect(needs.sampledToken).toBe(!needs.mixture);
    expect(label.length).toBeLessThan(24);
    expect(summary.length).toBeLessThan(110);
  });
});
