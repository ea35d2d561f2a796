import { afterEach, expect, it } from 'vitest';
import { DatasetImport } from './dataset-import.svelte';

const current = new DatasetImport();
afterEach(() => current.reset());

const LARGE = `prompt,label\n${'a prompt of some words,benign\n'.repeat(60_000)}`;
const SMALL = 'prompt,label\na,benign\nb,benign\n';

it('tells how far it is, and keeps the table in its worker', async () => {
  const work = current.readFile(new File([LARGE], 'large.csv'));
  expect(current.reading).toBe(true);
  await work;
  expect(current.reading).toBe(false);
  expect(current.table).toMatchObject({ name: 'large.csv', rows: 60_000 });
  expect(current.progress).toMatchObject({ size: LARGE.length });
  expect(current.progress!.bytes).toBeGreaterThan(0);
  await expect.poll(() => current.outcome?.report?.prompts, { timeout: 20_000 }).toBe(60_000);
  expect(current.outcome!.report!.first).toHaveLength(5);
  expect((await current.take())!.items).toHaveLength(60_000);
});

it('can be given up, and reads another file then', async () => {
  const work = current.readFile(new File([LARGE], 'large.csv'));
  current.reset();
  expect(current.reading).toBe(false);
  await work;
  expect(current).toMatchObject({ table: null, problem: null, reading: false });
  await current.readFile(new File([SMALL], 'small.csv'));
  expect(current.table).toMatchObject({ name: 'small.csv', rows: 2 });
});

it('gives the newest of two files, whichever ends first', async () => {
  const works = [
    current.readFile(new File([LARGE], 'large.csv')),
    current.readFile(new File([SMALL], 'small.csv')),
  ];
  await Promise.all(works);
  expect(current.table).toMatchObject({ name: 'small.csv' });
  expect(current.problem).toBeNull();
  expect(await current.take()).toMatchObject({ items: [{ prompt: 'a' }, { prompt: 'b' }] });
});
