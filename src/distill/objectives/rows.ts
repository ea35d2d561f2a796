/**
 * From planned examples to what a step trains on, for every objective. Three forms:
 *
 * - divergences to the mixture read π's logits, the posterior and ρ: `mixtureExample`;
 * - likelihood of the safe system's answers is KL to a sparse target, p = w·ρ with w = 1, on the same
 *   kernel: `likelihoodExample`. All paths join at their first position, no teacher pass is needed;
 * - TaiLr, REINFORCE and PPO weigh each token by what q thinks of it or by an advantage:
 *   `tokenExample` for the safe system's answers, `policyExample` for the student's own.
 *
 * All sums are divided by one global constant, batch × maxNewTokens (METHOD.md §4.2), never by a
 * path's own length.
 */
import type {
  Batch,
  Example,
  MixturePath,
  SparseRow,
  TeacherPath,
  TokenPath,
  Tokens,
} from '../../engine/types';
import type { GuardCase } from '../target/guard-case';
import type { PlannedExample, PlannedPath } from '../target/paths';
import type { RefusalTrie } from '../target/target';
import type { Recipe } from '../types';
import { OBJECTIVES } from './catalogue';
import type { NllReading, ObjectiveSpec } from './spec';

type Scale = Pick<Recipe, 'batchSize' | 'maxNewTokens'>;

/**
 * Targets and weights of a planned example, given what the frozen student says along its paths. All
 * paths share their first position, which weighs 1 in all whatever paths were kept.
 */
export function mixtureExample(
  planned: PlannedExample,
  teacher: readonly TeacherPath[],
  trie: RefusalTrie,
  scale: Scale,
): Example<MixturePath> {
  const unit = unitOf(scale);
  const kept = planned.paths.reduce((sum, { weight }) => sum + weight, 0);
  const paths = planned.paths.map(({ tokens, weight }, j): MixturePath => {
    const target = trie.along(tokens, teacher[j]!.logProbs, planned.safe);
    const coef = new Float32Array(tokens.length).fill(weight * unit);
    if (j === 0) coef[0]! += (1 - kept) * unit;
    return {
      tokens,
      coef,
      refusalPosterior: Float32Array.from(target.posterior),
      refusalNext: target.next,
    };
  });
  return { prompt: planned.prompt, paths };
}

/**
 * Rows of −Σ weight·log q(path) for the `kl` kernel: its value is the loss less the entropy of the
 * targets, its gradient the same. With `trie` a refusal path reads the whole of ρ(·|r_<t) instead of
 * its own token: the same expectation over wordings without their sampling noise (§3.2).
 */
export function likelihoodExample(
  planned: PlannedExample,
  scale: Scale,
  trie?: RefusalTrie,
): Example<MixturePath> {
  const unit = unitOf(scale);
  const targets = planned.paths.map(({ kind, tokens }): readonly SparseRow[] =>
    trie && kind === 'refusal'
      ? trie.along(tokens, new Float64Array(tokens.length), 0.5).next
      : tokens.map((token) => ({ tokens: [token], probs: [1] })),
  );
  // The first position is one row for all paths, so they must agree on its target.
  const first = joined(
    targets.map(([row]) => row!),
    planned.paths.map(({ weight }) => weight),
  );
  const paths = planned.paths.map(({ tokens, weight }, j): MixturePath => {
    return {
      tokens,
      coef: new Float32Array(tokens.length).fill(weight * unit),
      refusalPosterior: new Float32Array(tokens.length).fill(1),
      refusalNext: [first, ...targets[j]!.slice(1)],
    };
  });
  return { prompt: planned.prompt, paths };
}

/** Σ weight·row / Σ weight. */
function joined(rows: readonly SparseRow[], weights: readonly number[]): SparseRow {
  const total = weights.reduce((a, b) => a + b, 0);
  const mass = new Map<number, number>();
  rows.forEach(({ tokens, probs }, j) =>
    tokens.forEach((token, i) => {
      mass.set(token, (mass.get(token) ?? 0) + (weights[j]! * probs[i]!) / total);
    }),
  );
  return { tokens: [...mass.keys()], probs: [...mass.values()] };
}

/**
 * The paths and weights of a reading of NLL (§4.5). `hard` keeps the refusal where s < ½ and the
 * sample elsewhere; `refusal-only` keeps the refusal where s < ½ and nothing elsewhere, so it has no
 * utility term and ends in refusing always.
 */
export function nllReading(planned: PlannedExample, reading: NllReading): PlannedExample {
  if (reading === 'system') return planned;
  const refuses = planned.safe < 0.5;
  const wanted: PlannedPath['kind'] = refuses ? 'refusal' : 'sample';
  const kept = planned.paths.filter(({ kind }) => kind === wanted);
  if (reading === 'refusal-only' && !refuses) return { ...planned, paths: [] };
  return { ...planned, paths: kept.map((path) => ({ ...path, weight: 1 / kept.length })) };
}

/**
 * Adds an answer of the student itself to a divergence's paths (GKD, §4.8): `share` of the loss is
 * taken along it. Its target is the mixture's conditional there, like any other path's.
 */
export function withStudentPath(
  planned: PlannedExample,
  answer: Tokens,
  share: number,
): PlannedExample {
  const paths = planned.paths.map((path) => ({ ...path, weight: (1 - share) * path.weight }));
  return { ...planned, paths: [...paths, { kind: 'student', tokens: answer, weight: share }] };
}

/**
 * What a step under any objective that learns from the safe system trains on.
 * @param planned examples; those without paths have nothing to say and are left out of divergences
 * @param teachers of each example what the frozen student says along its paths; null where
 *   `needsTeacher` is false
 * @throws RangeError for REINFORCE and PPO, whose answers are the student's (`policyExample`), and
 *   where a divergence lacks its teacher
 */
export function distillationBatch(
  recipe: Scale & Pick<Recipe, 'objective' | 'guardCase'>,
  planned: readonly PlannedExample[],
  teachers: readonly (readonly TeacherPath[] | null)[],
  trie: RefusalTrie,
): Batch {
  const { objective } = recipe;
  switch (objective.name) {
    case 'reinforce':
    case 'ppo':
      throw new RangeError(`${objective.name} learns from the student's own answers.`);
    case 'tailr':
      return { family: 'token', examples: planned.map((one) => tokenExample(one, recipe)) };
    default: {
      const taught = planned.map((one, i) => {
        const example = targetsOf(objective, recipe, one, teachers[i] ?? null, trie);
        return { example, teacher: example.paths.map((_, j) => teachers[i]?.[j] ?? null) };
      });
      const saying = taught.filter(({ example }) => example.paths.length > 0);
      return {
        family: 'divergence',
        examples: saying.map(({ example }) => example),
        teacher: saying.map(({ teacher }) => teacher),
      };
    }
  }
}

/** Targets of an objective on the divergence kernels. */
function targetsOf(
  objective: ObjectiveSpec,
  recipe: Scale & Pick<Recipe, 'guardCase'>,
  planned: PlannedExample,
  teacher: readonly TeacherPath[] | null,
  trie: RefusalTrie,
): Example<MixturePath> {
  if (objective.name === 'nll') {
    return likelihoodExample(nllReading(planned, objective.reading), recipe);
  }
  if (!needsTeacher(objective, recipe.guardCase, planned)) {
    // The same expected gradient as KL to case B's mixture (§3.2, §4.5 i).
    return likelihoodExample(planned, recipe, trie);
  }
  if (!teacher) throw new RangeError('A divergence needs what the frozen student says.');
  return mixtureExample(planned, teacher, trie, recipe);
}

/** Whether the example's rows read the frozen student's logits: a pass, or its cache. */
export function needsTeacher(
  objective: ObjectiveSpec,
  guardCase: GuardCase,
  { safe }: Pick<PlannedExample, 'safe'>,
): boolean {
  if (!OBJECTIVES[objective.name].needs.mixture) return false;
  if (guardCase.kind === 'prompt' || guardCase.sampling !== 'exact') return true;
  return guardCase.denseBelow > 0 && 1 - safe <= guardCase.denseBelow;
}

/** Rows of TaiLr (§4): each path's own tokens at the path's weight. */
export function tokenExample(planned: PlannedExample, scale: Scale): Example<TokenPath> {
  const unit = unitOf(scale);
  return {
    prompt: planned.prompt,
    paths: planned.paths.map(({ tokens, weight }): TokenPath => ({
      tokens,
      coef: new Float32Array(tokens.length).fill(weight * unit),
      advantage: new Float32Array(tokens.length).fill(1),
      oldLogProb: new Float32Array(tokens.length),
    })),
  };
}

/** One answer of the student, with what its sampling knew and what it earned. */
export interface Rollout {
  tokens: Tokens;
  /** log q of each token when it was sampled, [T], nats. */
  logProbs: ArrayLike<number>;
  /** Advantage of each token, [T]; REINFORCE has the same one at every token. */
  advantages: ArrayLike<number>;
}

/** Rows of REINFORCE (§4.6) or PPO (§4.7) for the answers to one prompt, their mean. */
export function policyExample(
  prompt: Tokens,
  rollouts: readonly Rollout[],
  scale: Scale,
): Example<TokenPath> {
  const unit = unitOf(scale) / rollouts.length;
  return {
    prompt,
    paths: rollouts.map(({ tokens, logProbs, advantages }): TokenPath => {
      if (logProbs.length !== tokens.length || advantages.length !== tokens.length) {
        throw new RangeError('A rollout needs a log-probability and an advantage for each token.');
      }
      return {
        tokens,
        coef: new Float32Array(tokens.length).fill(unit),
        advantage: Float32Array.from(advantages),
        oldLogProb: Float32Array.from(logProbs),
      };
    }),
  };
}

function unitOf({ batchSize, maxNewTokens }: Scale): number {
  return 1 / (batchSize * maxNewTokens);
}
