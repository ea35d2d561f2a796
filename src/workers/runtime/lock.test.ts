import { expect, test } from 'vitest';
import { Lock } from './lock';

test('one at a time, first come first served', async () => {
  const lock = new Lock();
  const seen: string[] = [];
  const job = (name: string) => async () => {
    seen.push(`${name} starts`);
    await new Promise((resolve) => setTimeout(resolve, 1));
    seen.push(`${name} ends`);
    return name;
  };
  const names = await Promise.all([lock.run(job('a')), lock.run(job('b')), lock.run(job('c'))]);
  expect(names).toEqual(['a', 'b', 'c']);
  expect(seen).toEqual(['a starts', 'a ends', 'b starts', 'b ends', 'c starts', 'c ends']);
});

test('a job that fails passes its turn on', async () => {
  const lock = new Lock();
  const failing = lock.run(() => Promise.reject(new Error('no')));
  const next = lock.run(async () => 'yes');
  await expect(failing).rejects.toThrow('no');
  expect(await next).toBe('yes');
});

test('a turn that is handed on goes to who waits, and comes back', async () => {
  const lock = new Lock();
  const release = await lock.acquire();
  const other = lock.run(async () => 'other');
  release();
  const again = await lock.acquire();
  expect(await other).toBe('other');
  again();
  again();
  expect(await lock.run(async () => 'free')).toBe('free');
});

test('who gives up waiting leaves the queue at once, and nobody jumps it', async () => {
  const lock = new Lock();
  const release = await lock.acquire();
  const abort = new AbortController();
  const seen: string[] = [];
  const impatient = lock.run(async () => seen.push('impatient'), abort.signal);
  const patient = lock.run(async () => seen.push('patient'));
  abort.abort(new Error('enough'));
  await expect(impatient).rejects.toThrow('enough');
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(seen).toEqual([]);
  release();
  await patient;
  expect(seen).toEqual(['patient']);
  await expect(lock.acquire(AbortSignal.abort(new Error('never')))).rejects.toThrow('never');
  expect(await lock.run(async () => 'free', new AbortController().signal)).toBe('free');
});
