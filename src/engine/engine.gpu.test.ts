import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GPU_VARIANTS, normals, random, relativeError } from '../kernels/gpu/testing';
import type { Engine } from './engine';
import { CancelledError, SequenceTooLongError } from './errors';
import { bare } from './pack';
import { loadEngine } from './testing';
import type { Example, MixturePath } from './types';

const MODEL = 'public/models/pocket';
const STOP = 0xffffffff;

function sequence(seed: number, length: number, vocabulary: number): number[] {
  const next = random(seed);
  return Array.from({ length }, () => Math.floor(next() * vocabulary));
}

function logSoftmax(row: Float32Array, token: number): number {
  const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = row.reduce((total, value) => total + Math.exp(value - most), 0);
  return row[token]! - most - Math.log(sum);
}

describe.each(GPU_VARIANTS)('the engine with $name', ({ subgroups }) => {
  let engine: Engine;
  let soft: Float32Array;
  const n = 5;

  beforeAll(async () => {
    engine = await loadEngine(MODEL, subgroups);
    soft = await engine.embeddingRows(sequence(3, n, engine.vocabSize));
  });
  afterAll(() => engine?.destroy());

  const row = (logits: Float32Array, t: number) =>
    logits.subarray(t * engine.vocabSize, (t + 1) * engine.vocabSize);

  it('gives the same logits to a token whatever follows it', async () => {
    const tokens = sequence(1, 40, engine.vocabSize);
    const whole = await engine.logits(tokens, soft);
    const part = await engine.logits(tokens.slice(0, 17), soft);
    expect(relativeError(part, whole.subarray(0, part.length))).toBeLessThan(1e-5);
  });

  it('treats a soft prompt of embedding rows as those tokens', async () => {
    const ids = sequence(3, n, engine.vocabSize);
    const tokens = sequence(4, 12, engine.vocabSize);
    const soft = await engine.embeddingRows(ids);
    const behind = await engine.logits(tokens, soft);
    const whole = await engine.logits([...ids, ...tokens]);
    expect(relativeError(behind, whole.subarray(n * engine.vocabSize))).toBeLessThan(1e-5);
  });

  it('scores paths, alone or together behind one prompt, as its logits have them', async () => {
    const prompt = sequence(5, 9, engine.vocabSize);
    const paths = [sequence(6, 12, engine.vocabSize), sequence(7, 1, engine.vocabSize)];
    const scored = await engine.score(
      paths.map((path) => ({ prompt, path })),
      soft,
    );
    for (const [p, path] of paths.entries()) {
      const logits = await engine.logits([...prompt, ...path], soft);
      const alone = path.map((token, t) => logSoftmax(row(logits, prompt.length - 1 + t), token));
      expect(relativeError(scored[p]!, alone)).toBeLessThan(1e-5);
    }
    const [together] = await engine.scorePaths([{ prompt, paths }], soft);
    for (const [p, alone] of scored.entries()) {
      expect(relativeError(together![p]!, alone)).toBeLessThan(1e-5);
    }
  });

  it('generates greedily what its own logits say', async () => {
    const prompts = [sequence(8, 7, engine.vocabSize), sequence(9, 23, engine.vocabSize)];
    const generated = await engine.generate(
      prompts.map((prompt, stream) => ({ prompt, stream })),
      { softPrompt: soft, temperature: 0, seed: 0, maxNewTokens: 19, stopTokens: [STOP] },
    );
    for (const [i, prompt] of prompts.entries()) {
      const { tokens, logProbs, finished } = generated[i]!;
      expect(finished).toBe(false);
      expect(tokens.length).toBe(19);
      const logits = await engine.logits([...prompt, ...tokens], soft);
      for (const [t, token] of tokens.entries()) {
        const at = row(logits, prompt.length - 1 + t);
        expect(token).toBe(at.indexOf(at.reduce((a, b) => Math.max(a, b), -Infinity)));
        expect(logProbs[t]!).toBeCloseTo(logSoftmax(at, token), 3);
      }
    }
  });

  it('samples the same text whatever else is in the batch', async () => {
    const requests = Array.from({ length: 70 }, (_, i) => ({
      prompt: sequence(100 + i, 3 + (i % 11), engine.vocabSize),
      stream: i,
    }));
    const options = { temperature: 1, seed: 7, maxNewTokens: 12, stopTokens: [2] };
    const together = await engine.generate(requests, options);
    const alone = await engine.generate([requests[69]!, requests[3]!], options);
    expect(alone[0]!.tokens).toEqual(together[69]!.tokens);
    expect(alone[1]!.tokens).toEqual(together[3]!.tokens);
    const other = await engine.generate(requests.slice(0, 8), { ...options, seed: 8 });
    expect(other.map((g) => g.tokens)).not.toEqual(together.slice(0, 8).map((g) => g.tokens));
    for (const { tokens, finished } of together) {
      expect(finished).toBe(tokens.at(-1) === 2);
      expect(tokens.slice(0, -1)).not.toContain(2);
    }
  });

  it('ends a sequence with the first of several stop tokens', async () => {
    const requests = Array.from({ length: 40 }, (_, i) => ({
      prompt: sequence(300 + i, 4 + (i % 7), engine.vocabSize),
      stream: i,
    }));
    const options = { temperature: 1, seed: 5, maxNewTokens: 19 };
    const free = await engine.generate(requests, { ...options, stopTokens: [] });
    // Tokens that these answers hold at other places than the same one, so that either may be first.
    const stops = [free[0]!.tokens[5]!, free[1]!.tokens[9]!, free[2]!.tokens[0]!];
    const ended = await engine.generate(requests, { ...options, stopTokens: stops });
    for (const [i, { tokens, logProbs, finished }] of ended.entries()) {
      const whole = free[i]!;
      const at = whole.tokens.findIndex((token) => stops.includes(token));
      const length = at < 0 ? 19 : at + 1;
      expect(tokens).toEqual(whole.tokens.slice(0, length));
      expect(logProbs).toHaveLength(length);
      expect(finished).toBe(at >= 0);
    }
    expect(ended[2]!.tokens).toHaveLength(1);
  });

  it('refuses what does not fit and stops when told to', async () => {
    const long = sequence(1, engine.maxPositions, engine.vocabSize);
    const options = { temperature: 0, seed: 0, maxNewTokens: 8, stopTokens: [STOP] };
    await expect(engine.generate([{ prompt: long, stream: 0 }], options)).rejects.toThrow(
      SequenceTooLongError,
    );
    await expect(engine.logits([...long, 1])).rejects.toThrow(SequenceTooLongError);
    const aborted = { ...options, signal: AbortSignal.abort() };
    await expect(engine.generate([{ prompt: [1], stream: 0 }], aborted)).rejects.toThrow(
      CancelledError,
    );
  });

  it.each(['tv', 'kl'] as const)('has the %s gradient that its own loss has', async (objective) => {
    const next = random(11);
    const examples: Example<MixturePath>[] = [0, 1, 2].map((e) => {
      const tokens = [
        sequence(20 + e, 6, engine.vocabSize),
        sequence(30 + e, 4 + e, engine.vocabSize),
      ];
      const first = { w: 0.3 * next(), rho: { tokens: [tokens[1]![0]!, 5], probs: [0.75, 0.25] } };
      return {
        prompt: sequence(40 + e, 5 + e, engine.vocabSize),
        paths: tokens.map((path, p) => ({
          tokens: path,
          coef: new Float32Array(path.length).fill(0.02 + 0.01 * p),
          refusalPosterior: Float32Array.from(path, (_, t) => (t === 0 ? first.w : 0.4 * p)),
          refusalNext: path.map((token, t) =>
            t === 0 ? first.rho : { tokens: p ? [token] : [], probs: p ? [1] : [] },
          ),
        })),
      };
    });
    const trainer = await engine.createTrainer({
      trainable: { kind: 'soft-prompt', n: n },
      objective: { family: 'divergence', name: objective },
      maxRows: 128,
      maxLossRows: 64,
      clipNorm: 1,
    });
    const inputs = examples.map(bare);
    const teacher = await trainer.teach(inputs);
    trainer.setValues(soft);
    const { gradient } = await trainer.gradient({ family: 'divergence', examples, teacher });
    const direction = normals(12, soft.length);
    // Along the gradient itself the signal is largest against f32 rounding.
    const norm = Math.hypot(...gradient);
    const along = gradient.map(
      (g, i) => g / norm + (0.3 * direction[i]!) / Math.hypot(...direction),
    );
    const step = 2e-2;
    const lossAt = async (sign: number) => {
      const moved = soft.map((value, i) => value + sign * step * along[i]!);
      const batch = { family: 'divergence', examples, teacher } as const;
      const losses = await engine.divergence(objective, batch, moved);
      return examples.reduce(
        (sum, { paths }, e) =>
          sum +
          paths.reduce(
            (total, path, p) =>
              total + path.coef.reduce((acc, c, t) => acc + c * losses[e]![p]![t]!, 0),
            0,
          ),
        0,
      );
    };
    const measured = ((await lossAt(1)) - (await lossAt(-1))) / (2 * step);
    const predicted = gradient.reduce((sum, g, i) => sum + g * along[i]!, 0);
    expect(Math.abs(measured - predicted)).toBeLessThan(1e-2 * Math.abs(predicted));
    trainer.destroy();
  });
});
