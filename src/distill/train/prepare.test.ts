import { describe, expect, it } from 'vitest';
import { changedJson, errorOf } from '../../formats/mutations.testing';
import { seededRandom } from '../../formats/random.testing';
import { parsePrepared, prepare, preparedKey, preparedKeyText, PreparedDataError } from './prepare';
import { toyChat, ToyGuard, toyItems, ToyStudent } from '../testing';

const items = toyItems(9);
const key = preparedKey(items, { student: 'toy', guard: 'toy-guard' }, 6, toyChat());
const deps = () => ({ engine: new ToyStudent(), chat: toyChat(), guard: new ToyGuard() });

describe('prepare', () => {
  it('scores and samples every prompt once, in order, and says how far it is', async () => {
    const used = deps();
    const progress: string[] = [];
    const data = await prepare(items, key, used, {
      onProgress: (phase, done, total) => progress.push(`${phase} ${done}/${total}`),
    });
    expect(progress).toEqual(['guard 32/54', 'guard 54/54', 'sample 54/54']);
    expect(used.guard.calls).toBe(54);
    expect(used.engine.generated).toBe(54);
    for (const [i, item] of items.entries()) {
      expect(data.safe[i]).toBe(item.label === 'harmful' ? 0.02 : 0.995);
    }
    const answers = data.samples.map((tokens) => used.chat.decode(tokens));
    const right = items.filter((item, i) => item.answer === answers[i]).length;
    expect(right).toBeGreaterThan(9);
  });

  it('survives JSON and is the same again', async () => {
    const data = await prepare(items, key, deps());
    const again: unknown = JSON.parse(JSON.stringify(await prepare(items, key, deps())));
    expect(parsePrepared(again, key, items.length, 64)).toEqual(data);
  });

  it('stops when cancelled', async () => {
    const cancel = new AbortController();
    const used = deps();
    const running = prepare(items, key, used, {
      signal: cancel.signal,
      onProgress: () => cancel.abort(),
    });
    await expect(running).rejects.toThrow(/abort/i);
    expect(used.guard.calls).toBe(32);
    expect(used.engine.generated).toBe(0);
  });

  it('names what a shipped file was made for', async () => {
    const data = await prepare(items, key, deps());
    const reading =
      (value: unknown, wanted = key) =>
      () =>
        parsePrepared(value, wanted, items.length, 64);
    const other = preparedKey(items.slice(1), { student: 'toy', guard: 'toy-guard' }, 6, toyChat());
    expect(preparedKeyText(other)).not.toBe(preparedKeyText(key));
    expect(reading(data, other)).toThrow(/another data/);
    const dressed = preparedKey(items, { student: 'toy', guard: 'toy-guard' }, 6, { format: 'x' });
    expect(preparedKeyText(dressed)).not.toBe(preparedKeyText(key));
    expect(reading(data, dressed)).toThrow(/another chat/);
    expect(reading({ ...data, key: dressed })).toThrow(/another chat/);
    expect(reading({ ...data, key: { ...key, guard: 'new' } })).toThrow(/another guard/);
    expect(reading({ ...data, version: 2 })).toThrow(/version/);
    expect(reading({ ...data, safe: data.safe.slice(1) })).toThrow(/53 prompts/);
    expect(reading({ ...data, safe: data.safe.map(() => 2) })).toThrow(/outside/);
    expect(reading({ ...data, samples: data.samples.map(() => [64]) })).toThrow(/tokens/);
    expect(reading({ ...data, samples: data.samples.map(() => []) })).toThrow(/tokens/);
    expect(reading(null)).toThrow(PreparedDataError);
    const random = seededRandom(8);
    for (let i = 0; i < 300; i++) {
      const error = errorOf(reading(changedJson(data, random)));
      if (error !== null) expect(error).toBeInstanceOf(PreparedDataError);
    }
  });
});
