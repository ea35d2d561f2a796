import { describe, expect, it } from 'vitest';
import { Span } from '../gpu/gpu';
import {
  itIsAccurate,
  itStaysInItsSpan,
  type RowLossProblem,
  type RowLossSuite,
  runRowLoss,
} from './row-loss.testing';
import {
  centralDifferences,
  GPU_VARIANTS,
  normals,
  random,
  relativeError,
  testGpu,
} from '../gpu/testing';
import { createTokenLoss, type TokenObjective } from './token-loss';
import { tokenLossReference, type TokenRow } from './token-loss.reference';
import { logSoftmaxReference } from './divergence.reference';

const OBJECTIVES: TokenObjective[] = [
  { name: 'likelihood' },
  { name: 'tailr', gamma: 1, minWeight: 0 },
  { name: 'tailr', gamma: 0.5, minWeight: 0.2 },
  { name: 'ppo', clip: 0.2 },
];

interface Problem extends RowLossProblem {
  token: Uint32Array;
  advantage: Float32Array;
  oldLogProb: Float32Array;
}

/** Random rows; old policies that are nearer and further than any clip, in both directions. */
function problem(rows: number, vocabulary: number, scale: number): Problem {
  const next = random(31 * rows + vocabulary);
  const student = normals(vocabulary, rows * vocabulary, scale).map((value) =>
    Math.max(-80, Math.min(80, value)),
  );
  const token = Uint32Array.from({ length: rows }, () => Math.floor(next() * vocabulary));
  const oldLogProb = Float32Array.from(token, (y, r) => {
    const row = student.subarray(r * vocabulary, (r + 1) * vocabulary);
    return logSoftmaxReference(row)[y]! + [0, 0.1, -0.1, 0.7, -0.7][r % 5]!;
  });
  return {
    vocabulary,
    student,
    token,
    coef: normals(vocabulary + 2, rows),
    advantage: normals(vocabulary + 3, rows),
    oldLogProb,
  };
}

function rowOf(at: Problem, r: number): TokenRow {
  return {
    token: at.token[r]!,
    advantage: at.advantage[r]!,
    oldLogProb: at.oldLogProb[r]!,
  };
}

function expected(objective: TokenObjective, at: Problem) {
  const loss: number[] = [];
  const slope: number[] = [];
  for (const [r, coef] of at.coef.entries()) {
    const logits = at.student.subarray(r * at.vocabulary, (r + 1) * at.vocabulary);
    const { value, gradient } = tokenLossReference(objective, logits, rowOf(at, r));
    loss.push(value);
    for (const d of gradient) slope.push(coef * d);
  }
  return { loss, slope };
}

function onGpu(
  subgroups: boolean,
  objective: TokenObjective,
  at: Problem,
  rows: [number, number],
  lanes?: number,
) {
  const { vocabulary, token, advantage, oldLogProb } = at;
  const inputs = { token, advantage, oldLogProb };
  return runRowLoss(subgroups, at, rows, inputs, async (gpu, buffers, span) => {
    const kernel = await createTokenLoss(gpu, { vocabulary, objective, lanes });
    return kernel.bind({ ...buffers, span });
  });
}

describe.each(GPU_VARIANTS)('token loss with $name', ({ subgroups }) => {
  describe.each(OBJECTIVES)('$name (γ $gamma)', (objective) => {
    const suite: RowLossSuite<Problem> = {
      problem,
      reference: (at) => expected(objective, at),
      onGpu: (...args) => onGpu(subgroups, objective, ...args),
    };
    // f32 rounds a log-probability of −100 by 4e-6, and PPO's ratio is its exponential.
    itIsAccurate(suite, 2e-5);
    itStaysInItsSpan(suite);
  });

  it('keeps the gradient of a student that is nearly certain', async () => {
    const at = problem(1, 64, 1);
    at.token[0] = 7;
    at.student[7] = 22;
    const got = await onGpu(subgroups, { name: 'likelihood' }, at, [0, 1]);
    const wanted = expected({ name: 'likelihood' }, at);
    expect(relativeError(got.slope, wanted.slope)).toBeLessThan(1e-5);
  });
});

describe('token loss reference', () => {
  it.each(OBJECTIVES)('of $name has the gradient of central differences', (objective) => {
    const at = problem(10, 23, 1.5);
    for (let r = 0; r < 10; r++) {
      const logits = at.student.slice(r * 23, (r + 1) * 23);
      const row = rowOf(at, r);
      const { gradient, weight } = tokenLossReference(objective, logits, row);
      // TaiLr holds its weight fixed: that is what is differentiated.
      const fixed: [TokenObjective, TokenRow] =
        objective.name === 'tailr'
          ? [{ name: 'likelihood' }, { ...row, advantage: weight }]
          : [objective, row];
      const differences = centralDifferences(
        (z) => tokenLossReference(fixed[0], z, fixed[1]).value,
        logits,
        [...logits.keys()],
        1e-6,
      );
      const distance = gradient.reduce((most, d, i) => {
        return Math.max(most, Math.abs(d - differences[i]!));
      }, 0);
      expect(distance).toBeLessThan(1e-6);
    }
  });

  it('clips PPO only where the ratio has gone the way the advantage points', () => {
    const logits = [0, 0];
    const at = (ratio: number, advantage: number) =>
      tokenLossReference({ name: 'ppo', clip: 0.2 }, logits, {
        token: 0,
        advantage,
        oldLogProb: Math.log(0.5 / ratio),
      }).weight;
    expect(at(1.5, 1)).toBe(0);
    expect(at(0.5, -1)).toBe(0);
    expect(at(0.5, 1)).toBeCloseTo(0.5);
    expect(at(1.5, -1)).toBeCloseTo(-1.5);
    expect(at(1.1, 1)).toBeCloseTo(1.1);
  });

  it('makes TaiLr the likelihood at γ = 0 and the gradient of 1 − q(y) at γ = 1', () => {
    const logits = [0.3, -1, 2];
    const row = { token: 1, advantage: 1, oldLogProb: 0 };
    const nll = tokenLossReference({ name: 'likelihood' }, logits, row);
    const zero = tokenLossReference({ name: 'tailr', gamma: 0, minWeight: 0 }, logits, row);
    expect([...zero.gradient]).toEqual([...nll.gradient]);
    const one = tokenLossReference({ name: 'tailr', gamma: 1, minWeight: 0 }, logits, row);
    const differences = centralDifferences(
      (z) => 1 - Math.exp(logSoftmaxReference(z)[1]!),
      logits,
      [0, 1, 2],
    );
    expect(relativeError(one.gradient, differences)).toBeLessThan(1e-6);
  });
});

it('token loss refuses settings that cannot be', async () => {
  const gpu = await testGpu(true);
  const make = (objective: TokenObjective) => createTokenLoss(gpu, { vocabulary: 8, objective });
  await expect(make({ name: 'tailr', gamma: 2, minWeight: 0 })).rejects.toThrow(RangeError);
  await expect(make({ name: 'tailr', gamma: 1, minWeight: NaN })).rejects.toThrow(RangeError);
  await expect(make({ name: 'ppo', clip: -0.1 })).rejects.toThrow(RangeError);
  const kernel = await make({ name: 'ppo', clip: 0.2 });
  const buffer = gpu.storage('any', 64);
  const span = new Span(gpu, 'any');
  const args = { studentLogits: buffer, token: buffer, coef: buffer, advantage: buffer };
  expect(() => kernel.bind({ ...args, rowLoss: buffer, span })).toThrow(RangeError);
  gpu.release(buffer);
  span.release();
});
