import { describe, expect, it } from 'vitest';
import { changedJson, errorOf } from '../../formats/mutations.testing';
import { seededRandom } from '../../formats/random.testing';
import { parseRecipe } from '../train/recipe';
import { preparedKey, PreparedDataError, scorePrompts } from '../train/prepare';
import { train } from '../train/trainer';
import { planRun, type TrainingDataDeps } from '../train/training-data';
import { TOY_DOMAIN, toyChat, ToyGuard, toyItems, ToyStudent } from '../testing';
import { parsePartial, partialKeyText, STEPS_AHEAD, type PartialAnswers } from './answer-supply';

const ids = { student: 'toy', guard: 'g', judge: 'j' };
const items = toyItems(40);
const all = items.map((_, i) => i);
const recipe = parseRecipe({
  ...{ objective: 'kl', virtualTokens: 2, steps: 12, batchSize: 5, learningRate: 0.1 },
  maxNewTokens: 6,
});

function deps(more: Omit<Partial<TrainingDataDeps>, 'engine' | 'guard'> = {}) {
  return {
    ...{ engine: new ToyStudent(), chat: toyChat(), guard: new ToyGuard() },
    ...{ domain: TOY_DOMAIN, ids, train: items },
    ...more,
  };
}

async function trained(used: ReturnType<typeof deps>, more: object = {}) {
  const plan = await planRun(recipe, all, used);
  const drawn: number[] = [];
  const before = used.engine.generated;
  const result = await train(
    { recipe, plan, engine: used.engine, chat: used.chat, ...more },
    { onStep: () => drawn.push(used.engine.generated) },
  );
  return { ...result, before, drawn };
}

describe('answers drawn ahead of the step', () => {
  it('train as answers that were all drawn before do', async () => {
    const ahead = await trained(deps());
    const whole = await trained(deps({ wholePrepared: true }));
    expect(whole.before).toBe(items.length);
    expect(ahead.before).toBe(0);
    expect(ahead.steps.map(({ loss }) => loss)).toEqual(whole.steps.map(({ loss }) => loss));
    expect(ahead.values).toEqual(whole.values);
  });

  it('are those of a few batches, and only of paths that are trained on', async () => {
    const { drawn } = await trained(deps());
    expect(drawn[0]).toBeGreaterThan(0);
    expect(drawn[0]).toBeLessThanOrEqual(STEPS_AHEAD * recipe.batchSize);
    // Nothing more until the steps that they are for are over.
    expect(drawn.slice(0, STEPS_AHEAD)).toEqual(Array(STEPS_AHEAD).fill(drawn[0]));
    // The toy guard is sure of what is harmful: hardly any of those has a sampled path.
    const harmless = items.filter(({ label }) => label !== 'harmful').length;
    expect(drawn.at(-1)).toBeLessThan(harmless + 5);
  });

  it('are kept, and the next run goes on from them', async () => {
    const kept = new Map<string, string>();
    const keeping = () =>
      deps({
        savePrepared: async (name, data) => void kept.set(name, JSON.stringify(data)),
        prepared: [async (name) => JSON.parse(kept.get(name) ?? 'null') as unknown],
      });
    const first = keeping();
    const once = await trained(first);
    expect([...kept.keys()]).toEqual([
      partialKeyText(preparedKey(items, ids, recipe.maxNewTokens, first.chat)),
    ]);
    const second = keeping();
    const again = await trained(second);
    expect(second.engine.generated).toBe(0);
    expect(second.guard.calls).toBe(0);
    expect(again.values).toEqual(once.values);
  });

  it('go on after a checkpoint with the same numbers', async () => {
    let checkpoint: object | undefined;
    const used = deps();
    const plan = await planRun(recipe, all, used);
    const shared = { recipe, plan, engine: used.engine, chat: used.chat, checkpointSeconds: 0 };
    const undisturbed = await train(shared, {
      onCheckpoint: (state) => {
        if (state.step === 5) checkpoint = structuredClone(state);
      },
    });
    const resumed = await trained(deps(), { resumeFrom: checkpoint });
    expect(resumed.values).toEqual(undisturbed.values);
  });

  it('stop when cancelled', async () => {
    const used = deps();
    const plan = await planRun(recipe, all, used);
    const cancel = new AbortController();
    cancel.abort(new Error('cancelled'));
    await expect(plan.draw!([0], () => [1], cancel.signal)).rejects.toThrow('cancelled');
  });
});

it('kept answers are checked before they are used', async () => {
  const chat = toyChat();
  const key = preparedKey(items, ids, 6, chat);
  const data: PartialAnswers = {
    ...{ version: 1, key, safe: await scorePrompts(items, new ToyGuard(), {}) },
    samples: items.map((_, i) => (i % 2 ? null : [3, 1])),
  };
  const reading = (value: unknown) => () => parsePartial(value, key, items.length, 64);
  expect(reading(JSON.parse(JSON.stringify(data)))()).toEqual(data);
  expect(reading({ ...data, samples: data.samples.slice(1) })).toThrow(PreparedDataError);
  expect(reading({ ...data, samples: data.samples.map(() => [64]) })).toThrow(/tokens/);
  expect(reading({ ...data, safe: data.safe.map(() => 2) })).toThrow(/score/);
  expect(reading({ ...data, key: { ...key, guard: 'other' } })).toThrow(/another guard/);
  const random = seededRandom(11);
  for (let i = 0; i < 200; i++) {
    const error = errorOf(reading(changedJson(data, random)));
    if (error !== null) expect(error).toBeInstanceOf(PreparedDataError);
  }
});
