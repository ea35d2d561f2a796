import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { RunDeps } from '../distill/train/run';
import type { SweepDocument } from '../distill/sweep/outcome';
import { ToyGuard, toyChat, toyItems, ToyStudent, TOY_DOMAIN } from '../distill/testing';
import { UsageError } from './args';
import { openSweep, sweep } from './sweep';

const SPEC = {
  version: 1,
  base: { steps: 2, batchSize: 4, maxNewTokens: 6 },
  adapters: [{ kind: 'soft-prompt', n: 2 }, 'steering'],
  objectives: ['nll'],
  guardCases: ['response'],
  limit: 4,
};
const settings = { retry: false, answers: true, probeEvery: 0 };

let folder: string;
let spec: string;
let results: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sweep-'));
  spec = join(folder, 'spec.json');
  results = join(folder, 'results.json');
  await writeFile(spec, JSON.stringify(SPEC));
});

function deps(): RunDeps & { engine: ToyStudent } {
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

async function written(): Promise<SweepDocument> {
  return JSON.parse(await readFile(results, 'utf8')) as SweepDocument;
}

describe('--sweep', () => {
  it('goes on from its file after a kill, without sampling again what it keeps beside it', async () => {
    const abort = new AbortController();
    const cells: string[] = [];
    const killed = sweep(
      await openSweep(spec, results),
      deps(),
      settings,
      {
        signal: abort.signal,
        onStep: ({ step }) => {
          if (step === 1 && cells.length === 2) abort.abort(new Error('killed'));
        },
      },
      (line) => {
        if (line.startsWith('cell ')) cells.push(line);
      },
    );
    await expect(killed).rejects.toThrow('killed');
    expect((await written()).cells).toHaveLength(1);
    // Nothing half-written stays.
    expect((await readdir(folder)).sort()).toEqual([
      'results.json',
      'results.json.cache',
      'spec.json',
    ]);

    const again = deps();
    const said: string[] = [];
    await sweep(await openSweep(spec, results), again, settings, {}, (line) => said.push(line));
    expect(said[0]).toMatch(/^cell 2\/2: steering-all_nll_.*left$/);
    const document = await written();
    expect(document.cells.map(({ status }) => status)).toEqual(['finished', 'finished']);
    // Two sets of the adapter's own answers: training data and the base's answers were kept.
    expect(again.engine.generated).toBe(2 * 12);
    const { answers } = document.cells[1]!.result!.evaluations[0]!.systems.adapter!;
    expect(typeof answers[0]!.answer).toBe('string');
  });

  it('takes up axes that have grown, and no results of another base', async () => {
    await sweep(await openSweep(spec, results), deps(), settings, {}, () => undefined);
    await writeFile(spec, JSON.stringify({ ...SPEC, seeds: [0, 1] }));
    const { results: grown } = await openSweep(spec, results);
    expect(grown.cells).toHaveLength(2);
    expect(grown.spec.seeds).toEqual([0, 1]);
    await writeFile(spec, JSON.stringify({ ...SPEC, base: { steps: 3 } }));
    await expect(openSweep(spec, results)).rejects.toThrow(UsageError);
  });

  it('says what is wrong with its files', async () => {
    await writeFile(spec, JSON.stringify({ ...SPEC, adapters: ['none'] }));
    await expect(openSweep(spec, results)).rejects.toThrow(/spec\.json: adapters\[0\]/);
    await expect(openSweep(join(folder, 'absent.json'), results)).rejects.toThrow(/absent/);
    await writeFile(spec, JSON.stringify(SPEC));
    await writeFile(results, '{"format":"retort-sweep","cells":[');
    await expect(openSweep(spec, results)).rejects.toThrow(/results\.json: This is not JSON/);
  });
});
