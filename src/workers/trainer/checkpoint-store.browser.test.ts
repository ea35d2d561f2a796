import { beforeEach, describe, expect, test } from 'vitest';
import { type Checkpoint, parseCheckpoint } from '../../distill/train/checkpoint';
import { DEFAULT_RECIPE } from '../../distill/train/recipe';
import { CheckpointWriter, getCheckpoint } from './checkpoint-store';
import { database } from './storage';

const MODEL = '0123456789abcdef';

function checkpointAt(step: number, seed = 0): Checkpoint {
  const half = { value: 0.5, low: 0.25, high: 0.75, n: 4 };
  return {
    version: 2,
    recipe: { ...DEFAULT_RECIPE, seed },
    step,
    values: Float32Array.of(step, seed),
    optimiser: { first: new Float32Array(2), second: new Float32Array(2), updates: step },
    steps: Array.from({ length: step }, (_, i) => ({
      ...{ step: i + 1, loss: 1 / (i + 1), gradientNorm: 1, learningRate: 0.1, seconds: 0.1 },
    })),
    probes: [0, 2, 4]
      .filter((at) => at <= step)
      .map((at) => ({
        ...{ step: at, safety: half, overRefusal: half, usefulness: half, samples: [] },
      })),
  };
}

const kept = async () => parseCheckpoint((await getCheckpoint())!.checkpoint);
const historyParts = async () => (await database()).getAll('history');

beforeEach(async () => {
  const db = await database();
  await Promise.all([db.clear('checkpoint'), db.clear('history')]);
});

describe('checkpoints of a run', () => {
  test('are read as they were written, and append their history', async () => {
    const writer = new CheckpointWriter(MODEL);
    expect(await getCheckpoint()).toBeUndefined();
    for (const step of [1, 3, 4, 7]) {
      await writer.keep(checkpointAt(step));
      expect(await kept()).toEqual(checkpointAt(step));
    }
    expect(await getCheckpoint()).toMatchObject({ modelId: MODEL });
    const parts = await historyParts();
    expect(parts.map(({ steps }) => steps.map(({ step }) => step))).toEqual([
      [1],
      [2, 3],
      [4],
      [5, 6, 7],
    ]);
    await writer.forget();
    expect(await getCheckpoint()).toBeUndefined();
    expect(await historyParts()).toEqual([]);
  });

  test('of another run take their place whole, also where another tab had begun meanwhile', async () => {
    const here = new CheckpointWriter(MODEL);
    const there = new CheckpointWriter(MODEL);
    await here.keep(checkpointAt(2));
    await there.keep(checkpointAt(1, 9));
    expect(await kept()).toEqual(checkpointAt(1, 9));
    await here.keep(checkpointAt(5));
    expect(await kept()).toEqual(checkpointAt(5));
    // The one that ends forgets its own and no other.
    await there.forget();
    expect(await kept()).toEqual(checkpointAt(5));
  });

  test('of a resumed run replace what it goes on from', async () => {
    await new CheckpointWriter(MODEL).keep(checkpointAt(3));
    const resumed = await getCheckpoint();
    const first = new CheckpointWriter(MODEL, resumed);
    await first.keep(checkpointAt(6));
    expect(await kept()).toEqual(checkpointAt(6));
    // One that ends before its first checkpoint leaves nothing either.
    await new CheckpointWriter(MODEL, await getCheckpoint()).forget();
    expect(await getCheckpoint()).toBeUndefined();
  });

  test('of earlier versions, kept whole, open and can be replaced', async () => {
    const db = await database();
    const whole = { modelId: MODEL, savedAt: 1, checkpoint: checkpointAt(4) };
    await db.put('checkpoint', whole, 'last');
    expect(await kept()).toEqual(checkpointAt(4));
    const writer = new CheckpointWriter(MODEL, await getCheckpoint());
    await writer.keep(checkpointAt(6));
    expect(await kept()).toEqual(checkpointAt(6));
  });

  test('that cannot be written say so, and leave what was kept', async () => {
    const writer = new CheckpointWriter(MODEL);
    await writer.keep(checkpointAt(2));
    const broken = { ...checkpointAt(4), recipe: () => undefined } as never;
    await expect(writer.keep(broken)).rejects.toThrow();
    expect(await kept()).toEqual(checkpointAt(2));
    await writer.keep(checkpointAt(5));
    expect(await kept()).toEqual(checkpointAt(5));
  });
});
