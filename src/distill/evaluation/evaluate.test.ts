import { describe, expect, it } from 'vitest';
import { evaluate, type EvaluateInput, type ReferenceStore, type SystemAnswers } from './evaluate';
import { toyChat, ToyGuard, toyItems, ToyStudent, TOY_DOMAIN } from '../testing';
import type { SystemName } from '../types';

const ALL: SystemName[] = ['base', 'preamble', 'guarded', 'adapter'];
const items = toyItems(20);
const deps = () => ({
  engine: new ToyStudent(),
  chat: toyChat(),
  guard: new ToyGuard(),
  judge: new ToyGuard(),
  domain: TOY_DOMAIN,
  ids: { student: 's', guard: 'g', judge: 'j' },
});
const student = new ToyStudent();
const softPrompt = await student.embeddingRows([8, 20]);
const input: EvaluateInput = {
  set: 'wording',
  items,
  systems: ALL,
  temperature: 1,
  seed: 0,
  maxNewTokens: 6,
  adaptation: { kind: 'soft-prompt', values: softPrompt },
  guardCase: { kind: 'prompt' },
  teacher: { strictness: 0, guardTemperature: 1, guardClip: 1e-3 },
};

describe('evaluate', () => {
  it('measures the four systems with n, intervals and intents', async () => {
    const progress: number[] = [];
    const result = await evaluate(input, deps(), {
      onProgress: (done, total) => progress.push(done / total),
    });
    expect(result.counts).toEqual({ harmful: 40, borderline: 40, benign: 40 });
    const scores = (name: SystemName) => result.systems[name]!.scores;
    const { base, preamble, guarded, adapter } = {
      base: scores('base'),
      preamble: scores('preamble'),
      guarded: scores('guarded'),
      adapter: scores('adapter'),
    };
    // The base student complies; told to be safe, or guarded, it does not.
    expect(base.safety.judge.value).toBeLessThan(0.3);
    expect(preamble.safety.judge.value).toBeGreaterThan(0.8);
    expect(guarded.safety.judge.value).toBeGreaterThan(0.9);
    expect(guarded.wellFormed.value).toBeGreaterThan(0.9);
    expect(base.usefulness.value).toBeGreaterThan(0.7);
    expect(guarded.usefulness.n).toBe(40);
    expect(base.safety.judge.cluster?.clusters).toBe(2);
    expect(base.tokenKl).toMatchObject({ value: 0, n: 80 });
    expect(guarded.tokenKl!.value).toBeLessThan(0.05);
    expect(adapter.tokenKl!.value).toBeGreaterThan(0);
    expect(progress.at(-1)).toBe(1);
    expect([...progress].sort((a, b) => a - b)).toEqual(progress);
  });

  it('counts refusals by string and by first token, and calibrates them on the teacher', async () => {
    const { systems, expectedRefusal } = await evaluate(input, deps());
    const { base, guarded, preamble } = systems;
    const share = (name: SystemName, label: string) =>
      systems[name]!.answers.filter(({ refused }, i) => refused && items[i]!.label === label)
        .length / 40;
    expect(guarded!.scores.refusal!.benign.value).toBe(share('guarded', 'benign'));
    expect(guarded!.scores.refusal!.harmful.value).toBe(share('guarded', 'harmful'));
    expect(guarded!.scores.refusal!.harmful.value).toBeGreaterThan(0.9);
    // Every way to begin as a refusal does, token by token; ordinary answers may share the first.
    const { chat } = deps();
    const prompt = chat.encodeChat({ user: items[0]!.prompt });
    const begins = (opening: number[]) =>
      opening.reduce(
        (mass, token, t) => mass * student.next(prompt, opening.slice(0, t), null)[token]!,
        1,
      );
    const openings = new Set(
      TOY_DOMAIN.refusals.map((text) => text.split(' ').slice(0, 3).join(' ')),
    );
    const mass = [...openings].reduce(
      (sum, text) => sum + begins(text.split(' ').map((word) => chat.idOf(word)!)),
      0,
    );
    expect(base!.answers[0]!.refusalScore).toBeCloseTo(Math.log(mass / (1 - mass)), 3);
    const s = 1 - expectedRefusal![0]!;
    const guardedMass = s * mass + 1 - s;
    expect(guarded!.answers[0]!.refusalScore).toBeCloseTo(
      Math.log(guardedMass / (1 - guardedMass)),
      2,
    );
    expect(preamble!.scores.firstToken!.refused.harmful.value).toBe(1);
    expect(preamble!.scores.firstToken!.refused.benign.value).toBe(0);
    expect(base!.scores.firstToken!.score.harmful.value).toBeLessThan(0);
    const calibrated = guarded!.scores.calibration!;
    expect(calibrated.n).toBe(items.length);
    expect(Math.abs(calibrated.bias)).toBeLessThan(0.05);
    expect(base!.scores.calibration!.bias).toBeLessThan(-0.2);
    expect(guarded!.scores.joint!.value).toBeGreaterThan(base!.scores.joint!.value);
  });

  it('calls no answer well formed that the length limit cut', async () => {
    const { stopTokens } = toyChat();
    for (const maxNewTokens of [1, 6]) {
      const systems = ['base', 'preamble'] as const;
      const kept = new Map<string, SystemAnswers>();
      const references: ReferenceStore = {
        get: () => Promise.resolve(undefined),
        put: (key, answers) => Promise.resolve(void kept.set(key, answers)),
      };
      const result = await evaluate({ ...input, systems, maxNewTokens }, { ...deps(), references });
      for (const [k, name] of systems.entries()) {
        const tokens = [...kept.values()][k]!.tokens;
        const cut = result.systems[name]!.answers.filter(
          (answer, i) =>
            answer.wellFormed !== undefined && !stopTokens.includes(tokens[i]!.at(-1)!),
        );
        // A known refusal may be whole without its end.
        const known = TOY_DOMAIN.refusals.map((text) => text.toLowerCase());
        const wrong = cut.filter(
          ({ answer, wellFormed }) => wellFormed && !known.includes(answer.toLowerCase()),
        );
        expect(wrong).toEqual([]);
        if (maxNewTokens === 1) expect(cut).not.toHaveLength(0);
      }
    }
  });

  it('shows pairs and forms where the set has them', async () => {
    const twins = items.map((item, i) =>
      item.label === 'benign' ? item : { ...item, form: 'order', pair: `${Math.floor(i / 3)}` },
    );
    const { systems } = await evaluate({ ...input, items: twins }, deps());
    expect(systems.base!.scores.pairs!.value).toBeLessThan(0.3);
    expect(systems.guarded!.scores.pairs!.value).toBeGreaterThan(0.8);
    expect(systems.guarded!.scores.byForm!.safety.order).toMatchObject({ n: 40 });
    const plain = (await evaluate(input, deps())).systems.base!.scores;
    expect('pairs' in plain || 'byForm' in plain).toBe(false);
  });

  it('compares base and adapter on the same prompts', async () => {
    const result = await evaluate(input, deps());
    const { base, adapter } = result.systems;
    const { usefulness } = base!.scores;
    expect(result.usefulnessDrop!.value).toBeCloseTo(
      usefulness.value - adapter!.scores.usefulness.value,
      12,
    );
    expect(result.usefulnessDrop!.n).toBe(40);
    const { onlyBaseSafe, onlyAdapterSafe, pValue } = result.safetyTest!;
    const gain = adapter!.scores.safety.judge.value - base!.scores.safety.judge.value;
    expect((onlyAdapterSafe - onlyBaseSafe) / 40).toBeCloseTo(gain, 12);
    expect(pValue).toBeGreaterThan(0);
    expect(pValue).toBeLessThanOrEqual(1);
  });

  it('gives the guarded system the base answer or a refusal, in the share of s', async () => {
    const { systems } = await evaluate(
      { ...input, teacher: { ...input.teacher, guardTemperature: 1, guardClip: 0.25 } },
      deps(),
    );
    const base = systems.base!.answers;
    const guarded = systems.guarded!.answers;
    const passed = guarded.filter(({ answer }, i) => answer === base[i]!.answer);
    // s is clipped to 1/4 on 40 prompts and to 3/4 on 80.
    expect(Math.abs(passed.length - 70)).toBeLessThan(15);
    for (const [i, { answer }] of guarded.entries()) {
      expect([base[i]!.answer, ...TOY_DOMAIN.refusals]).toContain(answer);
    }
  });

  it('is repeatable, moves with its seed, and has no randomness when greedy', async () => {
    const answers = async (changed: Partial<EvaluateInput>) =>
      (await evaluate({ ...input, ...changed }, deps())).systems.base!.answers.map((a) => a.answer);
    const sampled = await answers({});
    expect(await answers({})).toEqual(sampled);
    expect(await answers({ seed: 1 })).not.toEqual(sampled);
    const greedy = await answers({ temperature: 0 });
    expect(await answers({ temperature: 0, seed: 1 })).toEqual(greedy);
    expect(new Set(greedy.slice(0, 20)).size).toBe(1);
  });

  it('takes a known refusal as well formed and noise as not', async () => {
    const noise = deps();
    const generate = noise.engine.generate.bind(noise.engine);
    const eos = noise.chat.eosToken;
    noise.engine.generate = async (requests, options) =>
      options.softPrompt
        ? requests.map((_, i) => {
            const tokens = i % 2 ? noise.chat.encodeAnswer('sorry i cannot') : [9, 25, 30, 9, eos];
            return { tokens, logProbs: tokens.map(() => -1), finished: true };
          })
        : generate(requests, options);
    noise.judge.score = async (pairs) => new Float64Array(pairs.length).fill(0.9);
    const { systems } = await evaluate({ ...input, systems: ['adapter'] }, noise);
    expect(systems.adapter!.scores.safety.judge.value).toBe(1);
    expect(systems.adapter!.scores.wellFormed).toMatchObject({ value: 0.5, n: 40 });
    expect(systems.base).toBeUndefined();
  });

  it('reuses reference answers of the same student, guards, data and teacher, and no others', async () => {
    const kept = new Map<string, SystemAnswers>();
    const references: ReferenceStore = {
      get: async (key) => kept.get(key),
      put: async (key, answers) => void kept.set(key, structuredClone(answers)),
    };
    const first = deps();
    const before = await evaluate(input, { ...first, references });
    expect(first.engine.generated).toBe(3 * items.length);
    const second = deps();
    const after = await evaluate(input, { ...second, references });
    expect(after).toEqual(before);
    expect(second.engine.generated).toBe(items.length);
    const strict = deps();
    const teacher = { ...input.teacher, strictness: -2 };
    await evaluate({ ...input, systems: ['guarded'], teacher }, { ...strict, references });
    expect(strict.engine.generated).toBe(0);
    expect(strict.guard.calls).toBeGreaterThan(0);
    const response = deps();
    const guardCase = { kind: 'response', sampling: 'exact', samples: 4, denseBelow: 0 } as const;
    await evaluate({ ...input, systems: ['guarded'], guardCase }, { ...response, references });
    // How likely the response guard refuses takes three answers more; base itself was there.
    expect(response.engine.generated).toBe(3 * items.length);
    await evaluate({ ...input, systems: ['guarded'], guardCase }, { ...response, references });
    expect(response.engine.generated).toBe(3 * items.length);
    // What case B has added to the base's answers is none of case A's.
    expect(await evaluate(input, { ...deps(), references })).toEqual(before);
    expect([...kept.keys()].filter((key) => key.includes('/guarded/'))).toHaveLength(3);
    const other = deps();
    await evaluate(input, { ...other, ids: { ...other.ids, judge: 'k' }, references });
    expect(other.engine.generated).toBe(3 * items.length);
  });

  it('evaluates values inside the model and a written preamble as it does a soft prompt', async () => {
    const one = softPrompt.slice(0, student.dim);
    const shape = { kind: 'steering', layers: [0] } as const;
    // As adapterLayout aligns it.
    const padded = Float32Array.from({ length: 64 }, (_, i) => one[i] ?? 0);
    const systems: SystemName[] = ['adapter'];
    const front = await evaluate(
      { ...input, systems, adaptation: { kind: 'soft-prompt', values: one } },
      deps(),
    );
    const inside = await evaluate(
      { ...input, systems, adaptation: { kind: 'adapter', shape, values: padded } },
      deps(),
    );
    expect(inside.systems).toEqual(front.systems);
    const written = await evaluate(
      {
        ...input,
        systems: ['preamble', 'adapter'],
        adaptation: null,
        adapterSystem: TOY_DOMAIN.preamble,
      },
      deps(),
    );
    expect(written.systems.adapter).toEqual(written.systems.preamble);
    expect(written.systems.adapter!.scores.tokenDistance).toBe('sampled');
    expect(front.systems.adapter!.scores.tokenDistance).toBe('exact');
  });

  it('has case B pass answers by what its guard says of them', async () => {
    const teacher = { ...input.teacher, guardClip: 1e-6, guardTemperature: 0.2 };
    const guardCase = { kind: 'response', sampling: 'exact', samples: 4, denseBelow: 0 } as const;
    const a = await evaluate({ ...input, teacher }, deps());
    const b = await evaluate({ ...input, teacher, guardCase }, deps());
    expect(b.systems.base).toEqual({
      ...a.systems.base,
      scores: { ...a.systems.base!.scores, calibration: expect.anything() as unknown },
    });
    expect([a.guardCase, b.guardCase]).toEqual(['prompt', 'response']);
    const base = b.systems.base!.answers;
    // Nearly certain either way: a base answer that is a refusal already passes in case B alone.
    for (const [i, { answer }] of b.systems.guarded!.answers.entries()) {
      expect(answer === base[i]!.answer).toBe(base[i]!.guardSafe >= 0.5);
    }
    const refusedAlready = base.filter(
      ({ guardSafe }, i) => items[i]!.label === 'harmful' && guardSafe >= 0.5,
    );
    expect(refusedAlready.length).toBeGreaterThan(0);
    // u(x) of four answers of the base, of which the first is the one that is evaluated.
    const expected = b.expectedRefusal!;
    expect(expected.every((u) => Math.abs(4 * u - Math.round(4 * u)) < 0.02)).toBe(true);
    for (const [i, u] of expected.entries()) {
      if (u < 0.01) expect(base[i]!.guardSafe).toBeGreaterThan(0.5);
      if (u > 0.99) expect(base[i]!.guardSafe).toBeLessThan(0.5);
    }
    expect(expected.some((u) => u > 0.2 && u < 0.8)).toBe(true);
    const one = await evaluate(
      { ...input, teacher, guardCase: { ...guardCase, samples: 1 } },
      deps(),
    );
    expect(one.expectedRefusal!.map((u) => u >= 0.5)).toEqual(
      base.map(({ guardSafe }) => guardSafe < 0.5),
    );
    const { scores } = b.systems.guarded!;
    expect(scores.firstToken).toBeUndefined();
    expect(scores.tokenTv).toBeNull();
    expect(scores.tokenKl!.value).toBeLessThan(0.05);
    const greedy = await evaluate({ ...input, teacher, guardCase, temperature: 0 }, deps());
    expect(new Set(greedy.systems.guarded!.answers.map(({ answer }) => answer))).toContain(
      TOY_DOMAIN.refusals[0],
    );
  });

  it('wants a prompt for the adapter and stops when cancelled', async () => {
    await expect(evaluate({ ...input, adaptation: null }, deps())).rejects.toThrow(RangeError);
    const cancel = new AbortController();
    const running = evaluate(input, deps(), {
      signal: cancel.signal,
      onProgress: () => cancel.abort(),
    });
    await expect(running).rejects.toThrow(/abort/i);
  });
});
