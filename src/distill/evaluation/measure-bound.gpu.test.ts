/** The bound on the engine, against distributions read off its own logits in plain numbers. */
import { expect, it } from 'vitest';
import { loadEngine, repositoryFile, repositoryJson } from '../../engine/testing';
import type { Tokens } from '../../engine/types';
import { ChatTokenizer } from '../data/chat';
import { parseDomain, parsePromptItems } from '../data/dataset';
import { measureBound, type ScoredPath } from './bound';
import { planBound } from './bound-plan';
import { measureBoundOf } from './measure-bound';

const FOLDER = 'public/models/pocket';

it('measures pocket on its own answers as its logits have it', async () => {
  const engine = await loadEngine(FOLDER);
  const chat = new ChatTokenizer(
    await repositoryJson<object>(`${FOLDER}/tokenizer.json`),
    await repositoryJson<object>(`${FOLDER}/tokenizer_config.json`),
  );
  const domain = parseDomain(await repositoryJson('public/data/domain.json'));
  const text = new TextDecoder().decode(await repositoryFile('public/data/wording.jsonl'));
  const items = parsePromptItems(text).filter((_, i) => i % 300 === 0);
  const shares = [0.2, 0.9, 0.6, 0.4];
  const guard = {
    score: async (asked: readonly object[]) => Float64Array.from(asked, (_, i) => shares[i % 4]!),
  };
  const plan = await planBound(
    {
      ...{ items, guardCase: 'prompt', samples: 1, seed: 0, maxNewTokens: 12 },
      teacher: { strictness: 0, guardTemperature: 1, guardClip: 1e-3 },
    },
    { engine, chat, guard, domain },
  );
  const values = await engine.embeddingRows(chat.encodeText('Stay safe.'));
  const measured = await measureBoundOf(engine, plan, { kind: 'soft-prompt', values });

  const rows = async (prompt: Tokens, path: Tokens, soft?: Float32Array) => {
    const logits = await engine.logits([...prompt, ...path.slice(0, -1)], soft);
    return path.map((_, t) => {
      const start = (prompt.length - 1 + t) * engine.vocabSize;
      const z = Array.from(logits.subarray(start, start + engine.vocabSize));
      const top = z.reduce((a, b) => Math.max(a, b));
      const sum = z.reduce((total, value) => total + Math.exp(value - top), 0);
      return z.map((value) => Math.exp(value - top) / sum);
    });
  };
  const scored = async (prompt: Tokens, safe: number, path: Tokens): Promise<ScoredPath> => {
    const [base, student] = [await rows(prompt, path), await rows(prompt, path, values)];
    const logProbs = path.map((token, t) => Math.log(base[t]![token]!));
    const { posterior, next } = plan.trie.along(path, logProbs, safe);
    const p = base.map((row, t) => {
      const mixed = row.map((pi) => (1 - posterior[t]!) * pi);
      next[t]!.tokens.forEach((token, k) => {
        mixed[token]! += posterior[t]! * next[t]!.probs[k]!;
      });
      return mixed;
    });
    return {
      logP: path.map((token, t) => Math.log(p[t]![token]!)),
      logQ: path.map((token, t) => Math.log(student[t]![token]!)),
      tokenTv: p.map((row, t) =>
        row.reduce((sum, value, v) => sum + Math.abs(value - student[t]![v]!) / 2, 0),
      ),
    };
  };
  const prompts = [];
  for (const { prompt, safe, pass, refusal } of plan.items) {
    prompts.push({
      safe,
      pass: await Promise.all(pass.map(({ tokens }) => scored(prompt, safe, tokens))),
      refusal: await Promise.all(refusal.map((tokens) => scored(prompt, safe, tokens))),
    });
  }
  const wanted = measureBound(prompts);
  const { horizons, firstTokenTv } = measured.bound!;
  expect(firstTokenTv).toBeCloseTo(wanted.firstTokenTv, 4);
  expect(horizons.map(({ horizon }) => horizon)).toEqual(
    wanted.horizons.map(({ horizon }) => horizon),
  );
  for (const [i, at] of horizons.entries()) {
    expect(at.sequenceTv.value).toBeCloseTo(wanted.horizons[i]!.sequenceTv.value, 4);
    expect(at.coupling.value).toBeCloseTo(wanted.horizons[i]!.coupling.value, 4);
    expect(at.tokenSum.value).toBeCloseTo(wanted.horizons[i]!.tokenSum.value, 3);
  }
  expect(measured.event.tv).toBeGreaterThan(0);
  // The student as it is: what the trainer's steering by nothing must leave alone.
  const frozen = await measureBoundOf(engine, plan, null, { studentSeed: null });
  const firsts = await Promise.all(
    plan.items.map(async ({ prompt, safe, pass }) => {
      const [row] = await rows(prompt, pass[0]!.tokens);
      const rho = plan.trie.along(
        pass[0]!.tokens,
        pass[0]!.tokens.map(() => 0),
        safe,
      ).next[0]!;
      const kept = rho.tokens.reduce((sum, token, k) => {
        return sum + Math.min(row![token]!, rho.probs[k]!);
      }, 0);
      // TV(sπ + (1 − s)ρ, π) = (1 − s)·TV(π, ρ).
      return (1 - safe) * (1 - kept);
    }),
  );
  const mean = firsts.reduce((sum, value) => sum + value, 0) / firsts.length;
  expect(frozen.bound!.firstTokenTv).toBeCloseTo(mean, 4);
  engine.destroy();
});
