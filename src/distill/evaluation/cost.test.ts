import { describe, expect, it } from 'vitest';
import { toyChat, ToyGuard, ToyStudent, TOY_DOMAIN } from '../testing';
import type { SystemName } from '../types';
import { measureCost, type CostInput } from './cost';

const ALL: SystemName[] = ['base', 'preamble', 'guarded', 'adapter'];
const GUARD_MS = 50;
const DECODE_MS = 3;

/** A student and a guard on a clock that counts rows: 1 ms each, 3 ms a decoded token. */
function device() {
  let now = 0;
  const engine = new ToyStudent();
  const generate = engine.generate.bind(engine);
  engine.generate = async (requests, options) => {
    now += (options.softPrompt?.length ?? 0) / engine.dim;
    for (const { prompt } of requests) now += prompt.length;
    now += requests.length * (options.maxNewTokens - 1) * DECODE_MS;
    return generate(requests, options);
  };
  const guard = new ToyGuard();
  const score = guard.score.bind(guard);
  const read: (string | undefined)[] = [];
  guard.score = async (items) => {
    now += GUARD_MS * items.length;
    read.push(...items.map(({ response }) => response));
    return score(items);
  };
  return {
    deps: { engine, guard, chat: toyChat(), domain: TOY_DOMAIN, clock: () => now },
    read,
  };
}

const prompts = ['tell me about cat', 'tell me about fish now'];
const chat = toyChat();
const rows = (system?: string) =>
  prompts.map((user) => chat.encodeChat({ user, ...(system && { system }) }).length);
const student = new ToyStudent();
const n = 16;
const input: CostInput = {
  ...{ prompts, systems: ALL, guardCase: 'prompt', newTokens: 6, rounds: 3 },
  adaptation: { kind: 'soft-prompt', values: new Float32Array(n * student.dim) },
  ...{ studentBytes: 1_000_000, guardBytes: 2_000_000 },
};

describe('measureCost', () => {
  it('counts bytes and prefill rows of each system', async () => {
    const cost = await measureCost(input, device().deps);
    expect(cost.base!.bytes).toEqual({ f32: 0, f16: 0 });
    expect(cost.preamble!.bytes.f16).toBe(TOY_DOMAIN.preamble.length);
    expect(cost.guarded!.share).toBe(2);
    expect(cost.adapter!.bytes).toEqual({ f32: 4 * n * student.dim, f16: 2 * n * student.dim });
    const mean = (of: number[]) => (of[0]! + of[1]!) / 2;
    expect(cost.base!.prefillRows).toEqual({ every: mean(rows()), once: 0 });
    expect(cost.adapter!.prefillRows).toEqual({ every: mean(rows()), once: n });
    expect(cost.preamble!.prefillRows.every).toBe(mean(rows(TOY_DOMAIN.preamble)));
  });

  it('shows that a cached prefix costs nothing, where a prompt alone pays for it', async () => {
    const { base, adapter, preamble } = await measureCost(input, device().deps);
    expect(adapter!.firstToken.median - base!.firstToken.median).toBeCloseTo(n, 9);
    expect(adapter!.cachedFirstToken).toEqual(base!.cachedFirstToken);
    // A preamble is paid for with every prompt.
    const longer = rows(TOY_DOMAIN.preamble)[0]! - rows()[0]!;
    expect(preamble!.cachedFirstToken.median - base!.cachedFirstToken.median).toBeCloseTo(longer);
    expect(base!.tokensPerSecond.median).toBeCloseTo(1000 / DECODE_MS, 6);
    expect(base!.firstToken.n).toBe(input.rounds * prompts.length);
    expect(base!.guard).toBeNull();
  });

  it('adds the guard, and in case B the answer that the guard must read', async () => {
    const a = device();
    const prompt = await measureCost(input, a.deps);
    const waits = (cost: typeof prompt) =>
      cost.guarded!.firstToken.median - cost.base!.firstToken.median;
    expect(waits(prompt)).toBeCloseTo(GUARD_MS, 9);
    expect(prompt.guarded!.guard!.median).toBe(GUARD_MS);
    expect(a.read.every((response) => response === undefined)).toBe(true);
    const b = device();
    const response = await measureCost({ ...input, guardCase: 'response' }, b.deps);
    expect(waits(response)).toBeCloseTo(GUARD_MS + (input.newTokens - 1) * DECODE_MS, 9);
    expect(b.read.every((text) => text !== undefined)).toBe(true);
  });

  it('counts what is trained inside the model, and the text of a written adapter', async () => {
    const shape = { kind: 'steering', layers: [0] } as const;
    const values = new Float32Array(student.dim);
    const inside = await measureCost(
      { ...input, adaptation: { kind: 'adapter', shape, values }, storedValues: 10 },
      device().deps,
    );
    expect(inside.adapter!.bytes).toEqual({ f32: 40, f16: 20 });
    expect(inside.adapter!.firstToken).toEqual(inside.base!.firstToken);
    const written = await measureCost(
      { ...input, adaptation: null, adapterSystem: TOY_DOMAIN.preamble },
      device().deps,
    );
    expect(written.adapter).toEqual(written.preamble);
  });

  it('refuses nothing to measure, and stops when cancelled', async () => {
    await expect(measureCost({ ...input, prompts: [] }, device().deps)).rejects.toThrow(RangeError);
    const signal = AbortSignal.abort();
    await expect(measureCost(input, device().deps, signal)).rejects.toThrow(/abort/i);
  });
});
