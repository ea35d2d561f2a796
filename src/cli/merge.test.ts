import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { RunDeps } from '../distill/train/run';
import { parseResults, remainingCells } from '../distill/sweep/sweep-results';
import { parseOutcome, type SweepDocument } from '../distill/sweep/outcome';
import { ToyGuard, toyChat, toyItems, ToyStudent, TOY_DOMAIN } from '../distill/testing';
import { UsageError } from './args';
import { mergeFiles, openSweep, sweep } from './sweep';

const WHOLE = {
  version: 1,
  name: 'whole',
  base: { steps: 2, batchSize: 4, maxNewTokens: 6 },
  adapters: [{ kind: 'soft-prompt', n: 2 }, 'steering'],
  objectives: ['nll', 'kl'],
  guardCases: ['prompt', 'response'],
  seeds: [0, 1],
  limit: 4,
};
/** Two machines: one trains soft prompts, the other steering, each with its own rate for it. */
const PARTS = {
  a: { ...WHOLE, name: 'a', adapters: [{ kind: 'soft-prompt', n: 2 }] },
  b: {
    ...WHOLE,
    name: 'b',
    adapters: ['steering'],
    tuned: [{ adapter: 'steering', set: { learningRate: 0.05 } }],
  },
  other: { ...WHOLE, base: { ...WHOLE.base, steps: 3 }, seeds: [0], objectives: ['nll'] },
};

let folder: string;
const path = (name: string) => join(folder, `${name}.json`);

function deps(): RunDeps {
  return {
    engine: new ToyStudent(),
    chat: toyChat(),
    guard: new ToyGuard(),
    judge: new ToyGuard(),
    domain: TOY_DOMAIN,
    ids: { student: '0123456789abcdef', guard: 'g', judge: 'j' },
    train: toyItems(20).map((item) => ({ ...item, id: `train-${item.id}` })),
    sets: { wording: toyItems(4), intent: toyItems(3) },
    environment: { commit: 'c', version: '0', runtime: 'test', adapter: 'toy', software: true },
  };
}

async function read(name: string): Promise<SweepDocument> {
  return parseResults(JSON.parse(await readFile(path(name), 'utf8')), parseOutcome);
}

const systemsOf = (document: SweepDocument) =>
  document.cells.flatMap(({ result }) =>
    result!.evaluations.flatMap(({ systems }) => Object.keys(systems)),
  );

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'merge-'));
  const settings = { retry: false, answers: false, probeEvery: 0 };
  for (const [name, spec] of Object.entries(PARTS)) {
    await writeFile(path(`${name}-spec`), JSON.stringify(spec));
    const files = await openSweep(path(`${name}-spec`), path(name));
    await sweep(files, deps(), settings, {}, () => undefined);
  }
}, 60_000);

describe('--merge', () => {
  it('joins parts to the sweep that one machine would have run, references once', async () => {
    const said: string[] = [];
    const files = { documents: [path('b'), path('a')], spec: null, results: path('out') };
    await mergeFiles(files, false, (line) => said.push(line));
    const merged = await read('out');
    const whole = { ...WHOLE, tuned: PARTS.b.tuned };
    await writeFile(path('whole-spec'), JSON.stringify(whole));
    const { results } = await openSweep(path('whole-spec'), path('out'));
    // Nothing is left to do for a sweep of the whole, and nothing of it is to be run again.
    expect(remainingCells(results)).toEqual([]);
    expect(merged.spec.adapters).toHaveLength(2);
    expect(said).toEqual([`16 cells finished, 0 failed, 0 open: ${path('out')}`]);
    // Each part measured base, preamble and two guarded systems on two sets.
    const parts = [...systemsOf(await read('a')), ...systemsOf(await read('b'))];
    const count = (list: string[]) =>
      ['base', 'preamble', 'guarded', 'adapter'].map(
        (name) => list.filter((system) => system === name).length,
      );
    expect(count(parts)).toEqual([4, 4, 8, 32]);
    expect(count(systemsOf(merged))).toEqual([2, 2, 4, 32]);
    for (const { result } of merged.cells) {
      for (const { systems, expectedRefusal } of result!.evaluations) {
        expect(expectedRefusal !== undefined).toBe(systems.guarded !== undefined);
      }
    }
    const original = (await read('b')).cells.find(({ id }) => id.includes('kl_response'))!;
    const kept = merged.cells.find(({ id }) => id === original.id)!;
    expect(kept.result!.evaluations[0]!.systems.adapter).toEqual(
      original.result!.evaluations[0]!.systems.adapter,
    );
  });

  it('gives the same document in whatever order the parts come, and of itself', async () => {
    const merge = async (documents: string[], results: string) => {
      await mergeFiles({ documents, spec: null, results }, false, () => undefined);
      const {
        spec: _,
        cells,
        ...rest
      } = JSON.parse(await readFile(results, 'utf8')) as SweepDocument;
      const untimed = [...cells].sort((a, b) => (a.id < b.id ? -1 : 1)).map(({ id }) => id);
      return { ...rest, untimed };
    };
    const one = await merge([path('a'), path('b')], path('ab'));
    expect(await merge([path('b'), path('a')], path('ba'))).toEqual(one);
    const text = await readFile(path('ab'), 'utf8');
    await merge([path('ab'), path('a')], path('abab'));
    expect(await readFile(path('abab'), 'utf8')).toBe(text);
  });

  it('plans what a specification says, and names cells that it would train otherwise', async () => {
    await writeFile(path('untuned'), JSON.stringify({ ...WHOLE, seeds: [0, 1, 2] }));
    const said: string[] = [];
    await mergeFiles(
      { documents: [path('a'), path('b')], spec: path('untuned'), results: path('out') },
      false,
      (line) => said.push(line),
    );
    expect(said).toHaveLength(9);
    expect(said[0]).toMatch(/^steering-all_.* another recipe/);
    expect(said.at(-1)).toMatch(/^16 cells finished, 0 failed, 8 open/);
    expect((await read('out')).spec.name).toBe('whole');
  });

  it('refuses parts of another base, and what is no document, by name', async () => {
    const merge = (...names: string[]) =>
      mergeFiles(
        { documents: names.map(path), spec: null, results: path('refused') },
        false,
        () => undefined,
      );
    await expect(merge('a', 'other')).rejects.toThrow(UsageError);
    await expect(merge('a', 'other')).rejects.toThrow(
      /other\.json has another base than .*a\.json/,
    );
    await expect(merge('a', 'a-spec')).rejects.toThrow(/a-spec\.json: This is not a document/);
    await expect(merge('a', 'absent')).rejects.toThrow(/absent\.json/);
    await expect(readFile(path('refused'))).rejects.toThrow();
  });

  it('packs verdicts, which open as they were, in a fraction of the bytes', async () => {
    const documents = [path('a'), path('b')];
    await mergeFiles({ documents, spec: null, results: path('full') }, false, () => undefined);
    await mergeFiles({ documents, spec: null, results: path('packed') }, true, () => undefined);
    const [full, packed] = [await read('full'), await read('packed')];
    const verdicts = (document: SweepDocument) =>
      document.cells.map(({ id, result }) => [
        id,
        result!.evaluations.map(({ set, systems }) => [
          set,
          Object.entries(systems).map(([name, { answers }]) => [
            name,
            answers.map(({ id, judgeSafe, guardSafe, refused, correct, wellFormed }) => ({
              ...{ id, refused, correct, wellFormed },
              ...{ judge: judgeSafe >= 0.5, guard: guardSafe >= 0.5 },
            })),
          ]),
        ]),
      ]);
    expect(verdicts(packed)).toEqual(verdicts(full));
    const scores = full.cells[0]!.result!.evaluations[0]!.systems.adapter!.answers;
    packed.cells[0]!.result!.evaluations[0]!.systems.adapter!.answers.forEach(
      ({ judgeSafe }, i) => {
        expect(Math.abs(judgeSafe - scores[i]!.judgeSafe)).toBeLessThanOrEqual(1 / 64);
      },
    );
    const text = await readFile(path('packed'), 'utf8');
    expect(text.length).toBeLessThan((await readFile(path('full'), 'utf8')).length * 0.55);
    // Packed again it is the same.
    await mergeFiles(
      { documents: [path('packed')], spec: null, results: path('again') },
      true,
      () => undefined,
    );
    expect(await readFile(path('again'), 'utf8')).toBe(text);
  });
});
