import { expect, it } from 'vitest';
import { TeacherCache, type Taught } from './teacher-cache';

const entry = (floats: number): Taught => [
  { logProbs: new Float32Array(2), hidden: new Float32Array(floats - 2) },
];

it('drops what was used longest ago when its bytes are spent', () => {
  const cache = new TeacherCache(400);
  for (const index of [1, 2, 3, 4]) cache.set(index, entry(25));
  expect(cache.bytes).toBe(400);
  expect(cache.get(1)).toBeDefined();
  cache.set(5, entry(25));
  expect([1, 2, 3, 4, 5].map((index) => cache.get(index) !== undefined)).toEqual([
    true,
    false,
    true,
    true,
    true,
  ]);
  cache.set(6, entry(80));
  expect(cache.bytes).toBeLessThanOrEqual(400);
  expect(cache.get(6)).toBeDefined();
});

it('counts a replaced entry once and refuses one that can never fit', () => {
  const cache = new TeacherCache(400);
  cache.set(1, entry(50));
  cache.set(1, entry(75));
  expect(cache.bytes).toBe(300);
  cache.set(2, entry(200));
  expect(cache.size).toBe(1);
  expect(cache.bytes).toBe(300);
});
