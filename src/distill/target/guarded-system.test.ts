import { describe, expect, it } from 'vitest';
import { Random } from '../statistics/prng';
import { evaluate, type EvaluateInput } from '../evaluation/evaluate';
import { toyChat, ToyGuard, toyItems, ToyStudent, TOY_DOMAIN } from '../testing';
import { guardedReply, readByGuard } from './guarded-system';
import { teacherSafety } from './target';

const PLAIN = { strictness: 0, guardTemperature: 1, guardClip: 1e-6 };
const REFUSALS = ['No.', 'Never.', 'I will not.'];

describe('what the guard reads', () => {
  it('is the prompt in case A and the answer in case B', () => {
    expect(readByGuard({ kind: 'prompt' }, { prompt: 1, answer: 2 })).toBe(1);
    expect(readByGuard({ kind: 'response' }, { prompt: 1, answer: 2 })).toBe(2);
  });
});

describe('the guarded system', () => {
  it('says a refusal in the share of 1 − s, each wording as often', () => {
    const random = new Random('system');
    const count = 20_000;
    const seen = new Map<string, number>();
    for (let i = 0; i < count; i++) {
      const { answer } = guardedReply('Yes.', 0.7, PLAIN, REFUSALS, random);
      seen.set(answer, (seen.get(answer) ?? 0) + 1 / count);
    }
    expect(seen.get('Yes.')).toBeCloseTo(0.7, 1.5);
    for (const refusal of REFUSALS) expect(seen.get(refusal)).toBeCloseTo(0.1, 1.5);
  });

  it('is moved by strictness, temperature and clip', () => {
    const greedy = (raw: number, change: Partial<typeof PLAIN>) =>
      guardedReply('Yes.', raw, { ...PLAIN, ...change }, REFUSALS, null);
    expect(greedy(0.9, {})).toMatchObject({ answer: 'Yes.', passes: true });
    expect(greedy(0.9, { strictness: -4 })).toMatchObject({ answer: 'No.', passes: false });
    expect(greedy(0.1, { strictness: 4 }).passes).toBe(true);
    expect(greedy(0.9, { guardTemperature: 10 }).safe).toBeCloseTo(0.555, 3);
    expect(greedy(1, { guardClip: 0.1 }).safe).toBeCloseTo(0.9, 12);
  });

  it('needs something to refuse with', () => {
    expect(() => guardedReply('Yes.', 0.9, PLAIN, [], null)).toThrow(RangeError);
  });

  it('is the system that is evaluated, greedy and sampled, whatever the guard reads', async () => {
    const items = toyItems(6);
    const deps = {
      engine: new ToyStudent(),
      chat: toyChat(),
      guard: new ToyGuard(),
      judge: new ToyGuard(),
      domain: TOY_DOMAIN,
      ids: { student: 's', guard: 'g', judge: 'j' },
    };
    const fates = new Set<string>();
    for (const temperature of [0, 1] as const) {
      for (const kind of ['prompt', 'response'] as const) {
        for (const strictness of [0, -3, 3]) {
          const teacher = { ...PLAIN, guardClip: 1e-3, strictness };
          const guardCase: EvaluateInput['guardCase'] =
            kind === 'prompt' ? { kind } : { kind, sampling: 'exact', samples: 2, denseBelow: 0 };
          const { systems } = await evaluate(
            {
              ...{ set: 'wording', items, systems: ['base', 'guarded'], temperature, seed: 5 },
              ...{ maxNewTokens: 6, adaptation: null, teacher, guardCase },
            },
            deps,
          );
          for (const [i, { prompt, id }] of items.entries()) {
            const { answer } = systems.base!.answers[i]!;
            const item = readByGuard(guardCase, {
              prompt: { prompt },
              answer: { prompt, response: answer },
            });
            const [raw] = await deps.guard.score([item]);
            const random = temperature === 0 ? null : new Random('guarded', 5, id);
            const said = guardedReply(answer, raw!, teacher, TOY_DOMAIN.refusals, random);
            expect(said.answer).toBe(systems.guarded!.answers[i]!.answer);
            expect(said.safe).toBe(teacherSafety(raw!, teacher));
            fates.add(`${kind} ${said.passes}`);
          }
        }
      }
    }
    expect(fates.size).toBe(4);
  });
});
