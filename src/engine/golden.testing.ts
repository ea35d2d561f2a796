/** The goldens of tests/fixtures/{pocket,class}, for the tests that are held to them. */
import { repositoryFile } from './testing';
import type { Example, MixturePath, SparseRow, TokenPath } from './types';

export const FIXTURES = 'tests/fixtures/pocket';

export async function floats(name: string, folder = FIXTURES): Promise<Float32Array> {
  return new Float32Array((await repositoryFile(`${folder}/${name}.f32`)).buffer);
}

type Rho = [token: number, share: number][][];

interface GoldenExample {
  prompt: number[];
  sampled: number[];
  refusal: number[];
  sampledWeight: number;
  refusalWeight: number;
  sampledW: number[];
  refusalW: number[];
  sampledRho: Rho;
  refusalRho: Rho;
}

export interface PocketGolden {
  ids: number[];
  n: number;
  tMax: number;
  examples: GoldenExample[];
  objectives: Record<
    'tv' | 'kl',
    { loss: number; positions: { sampled: number[]; refusal: number[] }[] }
  >;
}

function sparse(rho: Rho): SparseRow[] {
  return rho.map((row) => ({
    tokens: row.map(([token]) => token),
    probs: row.map(([, share]) => share),
  }));
}

function trainExample(golden: GoldenExample, batch: number, tMax: number): Example<MixturePath> {
  const path = (tokens: number[], weight: number, w: number[], rho: Rho) => ({
    tokens,
    coef: new Float32Array(tokens.length).fill(weight / (batch * tMax)),
    refusalPosterior: Float32Array.from(w),
    refusalNext: sparse(rho),
  });
  const g = golden;
  return {
    prompt: g.prompt,
    paths: [
      path(g.sampled, g.sampledWeight, g.sampledW, g.sampledRho),
      path(g.refusal, g.refusalWeight, g.refusalW, g.refusalRho),
    ],
  };
}

/** The golden's training batch. */
export function goldenExamples({ examples, tMax }: PocketGolden): Example<MixturePath>[] {
  return examples.map((example) => trainExample(example, examples.length, tMax));
}

/** objectives.json: what PyTorch makes of the batch under every objective. */
export interface ObjectiveGolden {
  settings: { gamma: number; minWeight: number; clip: number };
  /** Of each token, [examples · 2][T], as are the log-probabilities. */
  advantages: number[][];
  cases: Record<
    string,
    { losses: Record<string, number>; logProbs: number[][]; oldLogProbs: number[][] }
  >;
}

/** The golden's batch as losses on its own tokens. */
export function goldenTokens(
  { examples, tMax }: PocketGolden,
  { advantages, cases }: ObjectiveGolden,
  name: string,
  plain = false,
): Example<TokenPath>[] {
  const old = cases[name]!.oldLogProbs;
  return examples.map(({ prompt, sampled, refusal, sampledWeight, refusalWeight }, e) => {
    const path = (tokens: number[], weight: number, at: number) => ({
      tokens,
      coef: new Float32Array(tokens.length).fill(weight / (examples.length * tMax)),
      advantage: Float32Array.from(plain ? tokens.map(() => 1) : advantages[at]!),
      oldLogProb: Float32Array.from(old[at]!),
    });
    const paths = [path(sampled, sampledWeight, 2 * e), path(refusal, refusalWeight, 2 * e + 1)];
    return { prompt, paths };
  });
}

/** The same tokens as targets of a divergence; paths of an example share their first position. */
export function goldenSparse({ examples, tMax }: PocketGolden): Example<MixturePath>[] {
  return examples.map(({ prompt, sampled, refusal, sampledWeight, refusalWeight }) => {
    const total = sampledWeight + refusalWeight;
    const first = {
      tokens: [sampled[0]!, refusal[0]!],
      probs: [sampledWeight / total, refusalWeight / total],
    };
    const path = (tokens: number[], weight: number) => ({
      tokens,
      coef: new Float32Array(tokens.length).fill(weight / (examples.length * tMax)),
      refusalPosterior: new Float32Array(tokens.length).fill(1),
      refusalNext: tokens.map((token, t) => (t === 0 ? first : { tokens: [token], probs: [1] })),
    });
    return { prompt, paths: [path(sampled, sampledWeight), path(refusal, refusalWeight)] };
  });
}
