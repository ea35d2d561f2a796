import { expect, it } from 'vitest';
import { autotuneCache } from './autotune-cache';

it('keeps choices by their questions, also when several are asked at once', async () => {
  expect(await autotuneCache.get('adapter | unknown')).toBeUndefined();
  await Promise.all(['a', 'b', 'c'].map((name) => autotuneCache.put(`adapter | ${name}`, name)));
  await autotuneCache.put('adapter | a', '8x8x64');
  expect(
    await Promise.all(['a', 'b', 'c'].map((name) => autotuneCache.get(`adapter | ${name}`))),
  ).toEqual(['8x8x64', 'b', 'c']);
});
