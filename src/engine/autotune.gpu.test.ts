import { describe, expect, it } from 'vitest';
import { testGpu } from '../kernels/gpu/testing';
import { createRows } from '../kernels/rows/rows';
import { Span } from '../kernels/gpu/gpu';
import { type AutotuneCache, Autotuner, type Candidates } from './autotune';

/** Remembers everything and what it was asked. */
class MapCache implements AutotuneCache {
  readonly values = new Map<string, string>();
  readonly asked: string[] = [];

  get(key: string): Promise<string | undefined> {
    this.asked.push(key);
    return Promise.resolve(this.values.get(key));
  }

  put(key: string, choice: string): Promise<void> {
    this.values.set(key, choice);
    return Promise.resolve();
  }
}

/** Candidates that a clock of their own times: running `name` takes costs[name] milliseconds. */
async function timedCandidates(costs: Record<string, number>) {
  const gpu = await testGpu(true);
  const rows = await createRows(gpu, { dim: 4 });
  let now = 0;
  const ran: string[] = [];
  const candidates: Candidates = Object.fromEntries(
    Object.entries(costs).map(([name, cost]) => [
      name,
      {
        code: () => `text of ${name}`,
        make: () => {
          ran.push(name);
          const y = gpu.storage(name, 16);
          const span = new Span(gpu, name);
          span.set(0, 1);
          const op = rows.bindClear({ y, span });
          const grid = () => {
            now += cost;
            return op.grid();
          };
          const release = () => (gpu.release(y), span.release());
          return Promise.resolve({ op: { ...op, grid }, release });
        },
      },
    ]),
  );
  return { gpu, candidates, ran, clock: () => now };
}

describe('Autotuner', () => {
  it('takes the fastest, asks once and remembers it', async () => {
    const { gpu, candidates, ran, clock } = await timedCandidates({ a: 3, b: 1, c: 2 });
    const cache = new MapCache();
    const tuner = new Autotuner(gpu, { cache, clock, software: true });
    const before = gpu.allocatedBytes;
    expect(await tuner.choose('q', candidates)).toBe('b');
    expect(await tuner.choose('q', candidates)).toBe('b');
    expect(ran).toEqual(['a', 'b', 'c']);
    expect(gpu.allocatedBytes).toBe(before);
    expect([...cache.values.values()]).toEqual(['b']);
    expect(cache.asked).toHaveLength(1);
    expect(cache.asked[0]).toContain(gpu.description.architecture);
  });

  it.each(['a', 'b', 'c'])('does what the cache says: %s', async (name) => {
    const { gpu, candidates, ran, clock } = await timedCandidates({ a: 3, b: 1, c: 2 });
    const cache = new MapCache();
    cache.get = () => Promise.resolve(name);
    const tuner = new Autotuner(gpu, { cache, clock, software: true });
    expect(await tuner.choose('q', candidates)).toBe(name);
    expect(ran).toEqual([]);
  });

  it('measures again when any candidate has another text', async () => {
    const { gpu, candidates, clock } = await timedCandidates({ a: 3, b: 1, c: 2 });
    const cache = new MapCache();
    const asked = async (others: Candidates) => {
      const before = cache.values.size;
      await new Autotuner(gpu, { cache, clock, software: true }).choose('q', others);
      return cache.values.size - before;
    };
    expect(await asked(candidates)).toBe(1);
    expect(await asked(candidates)).toBe(0);
    const changed = { ...candidates, c: { ...candidates.c!, code: () => 'a faster text' } };
    expect(await asked(changed)).toBe(1);
    expect(await asked(changed)).toBe(0);
    expect(await asked(candidates)).toBe(0);
  });

  it('measures again what the cache knows of another version, or cannot tell', async () => {
    const { gpu, candidates, clock } = await timedCandidates({ a: 3, b: 1 });
    const old: AutotuneCache = { get: () => Promise.resolve('gone'), put: () => Promise.resolve() };
    expect(
      await new Autotuner(gpu, { cache: old, clock, software: true }).choose('q', candidates),
    ).toBe('b');
    const broken: AutotuneCache = {
      get: () => Promise.reject(new Error('closed')),
      put: () => Promise.reject(new Error('closed')),
    };
    expect(
      await new Autotuner(gpu, { cache: broken, clock, software: true }).choose('q', candidates),
    ).toBe('b');
  });

  it('stops at its budget and then takes the first without remembering', async () => {
    const { gpu, candidates, ran, clock } = await timedCandidates({ a: 300, b: 200, c: 1 });
    const cache = new MapCache();
    const tuner = new Autotuner(gpu, { cache, clock, software: true, budget: 1000 });
    const before = gpu.allocatedBytes;
    expect(await tuner.choose('q', candidates)).toBe('b');
    expect(await tuner.choose('another', candidates)).toBe('a');
    expect(ran).toEqual(['a', 'b', 'c']);
    expect(gpu.allocatedBytes).toBe(before);
    expect(cache.values.size).toBe(0);
  });

  it('does not measure on a software adapter unless told to', async () => {
    const { gpu, candidates, ran, clock } = await timedCandidates({ a: 3, b: 1 });
    // Tests run on hardware too.
    const software = gpu.description.isFallbackAdapter;
    const chosen = await new Autotuner(gpu, { clock }).choose('q', candidates);
    expect(chosen).toBe(software ? 'a' : 'b');
    expect(ran).toEqual(software ? [] : ['a', 'b']);
  });

  it('refuses to choose among nothing', async () => {
    const tuner = new Autotuner(await testGpu(true));
    expect(() => tuner.choose('q', {})).toThrow(RangeError);
  });
});
