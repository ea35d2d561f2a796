import { describe, expect, it } from 'vitest';
import { adapterLayout } from '../../engine/trainable/shape';
import { adapterShape } from '../adapters/adaptation';
import type { SystemAnswers } from '../evaluation/evaluate';
import { readKeptValues } from '../adapters/kept-values';
import { parseSweep, planSweep } from './sweep';
import { emptyResults, parseResults } from './sweep-results';
import { mergeSweeps } from './sweep-merge';
import { parseOutcome, type SweepDocument } from './outcome';
import { runSweep } from './sweep-run';
import { toyChat, ToyGuard, toyItems, ToyStudent, TOY_DOMAIN } from '../testing';

const spec = parseSweep({
  version: 1,
  base: { steps: 4, batchSize: 4, maxNewTokens: 6, learningRate: 0.1 },
  adapters: [{ kind: 'soft-prompt', n: 2 }, 'lora', 'preamble'],
  objectives: ['kl', 'reinforce'],
  guardCases: [{ kind: 'response', samples: 2 }],
  tuned: [{ adapter: 'lora', set: { learningRate: 0.01 } }],
  limit: 6,
});
const ids = planSweep(spec).cells.map(({ id }) => id);
const train = toyItems(20).map((item) => ({ ...item, id: `train-${item.id}` }));
const sets = { wording: toyItems(4), intent: toyItems(3) };
const environment = {
  ...{ commit: 'c', version: '0', runtime: 'test', adapter: 'toy', software: true },
};

function deps(engine = new ToyStudent()) {
  const references = new Map<string, SystemAnswers>();
  return {
    engine,
    chat: toyChat(),
    guard: new ToyGuard(),
    judge: new ToyGuard(),
    domain: TOY_DOMAIN,
    ids: { student: '0123456789abcdef', guard: 'g', judge: 'j' },
    train,
    sets,
    environment,
    references: {
      get: async (key: string) => references.get(key),
      put: async (key: string, answers: SystemAnswers) => void references.set(key, answers),
    },
  };
}

/** What does not depend on the clock. */
function untimed(document: SweepDocument): unknown {
  return document.cells.map(({ id, status, result }) => ({
    ...{ id, status },
    result: result && { ...result, seconds: null },
  }));
}

async function whole(): Promise<SweepDocument> {
  return runSweep(emptyResults(spec), deps(), { save: async () => undefined });
}

describe('runSweep', () => {
  it('trains and scores every cell, and measures what no cell changes once', async () => {
    const saved: SweepDocument[] = [];
    const seen: string[] = [];
    const document = await runSweep(emptyResults(spec), deps(), {
      save: async (results) => void saved.push(results),
      onCell: ({ id }, { index, total, secondsLeft }) => {
        expect([index, total]).toEqual([seen.length, ids.length]);
        expect(secondsLeft === null).toBe(index === 0);
        seen.push(id);
      },
    });
    expect(seen).toEqual(ids);
    expect(saved.map(({ cells }) => cells.length)).toEqual(ids.map((_, i) => i + 1));
    expect(saved.at(-1)).toBe(document);
    const systems = document.cells.map(({ status, result }) => {
      expect(status).toBe('finished');
      return result!.evaluations.map((evaluation) => Object.keys(evaluation.systems));
    });
    expect(systems[0]).toEqual(Array(2).fill(['base', 'preamble', 'guarded', 'adapter']));
    for (const later of systems.slice(1, -1)) expect(later).toEqual(Array(2).fill(['adapter']));
    // What nothing was trained for goes with case A, whose guarded system is another one.
    expect(systems.at(-1)).toEqual(Array(2).fill(['guarded', 'adapter']));
    const [first] = document.cells;
    const { evaluations, losses, trainedValues, share } = first!.result!;
    expect(losses).toHaveLength(4);
    expect(trainedValues).toBe(2 * new ToyStudent().dim);
    expect(share).toEqual(expect.any(String));
    const { answers } = evaluations[0]!.systems.adapter!;
    expect(answers).toHaveLength(18);
    expect(Object.keys(answers[0]!)).not.toContain('answer');
    const lora = document.cells.find(({ id }) => id.startsWith('lora'))!.result!;
    expect(lora.recipe.learningRate).toBe(0.01);
    expect(lora.share).toBeNull();
    const { values } = readKeptValues(lora.trained, lora.recipe, 'trained');
    const { config } = new ToyStudent();
    const { length } = adapterLayout(adapterShape(lora.recipe.adapter, config)!, config);
    expect(values).toHaveLength(length);
    expect(first!.result!.trained).toBeUndefined();
    expect(document.cells.at(-1)!.result!.trained).toBeUndefined();
  });

  it.each<[string, object, string[]]>([
    ['temperature', { guardTemperature: 2 }, ['guarded', 'adapter']],
    ['clip', { guardClip: 0.2 }, ['guarded', 'adapter']],
    ['length of answers', { maxNewTokens: 5 }, ['base', 'preamble', 'guarded', 'adapter']],
    ['learning rate', { learningRate: 0.01 }, ['adapter']],
  ])('measures the references again for cells with another %s', async (_, set, systems) => {
    const tuned = parseSweep({
      ...{ version: 1, base: { steps: 1, batchSize: 2, maxNewTokens: 6 } },
      adapters: [
        { kind: 'soft-prompt', n: 2 },
        { kind: 'lora', rank: 1 },
      ],
      objectives: ['tv'],
      tuned: [{ adapter: 'lora', set }],
      limit: 2,
    });
    const save = async () => undefined;
    const { cells } = await runSweep(emptyResults(tuned), deps(), { save });
    const measured = cells.map(({ result }) => Object.keys(result!.evaluations[0]!.systems));
    expect(measured).toEqual([['base', 'preamble', 'guarded', 'adapter'], systems]);
    // What was measured twice stays twice when parts are joined.
    const { document } = mergeSweeps([emptyResults(tuned), { ...emptyResults(tuned), cells }], []);
    expect(
      document.cells.map(({ result }) => Object.keys(result!.evaluations[0]!.systems)),
    ).toEqual(measured);
    if (systems.length === 1) return;
    const safety = (i: number) => cells[i]!.result!.evaluations[0]!.expectedRefusal;
    if (!('maxNewTokens' in set)) expect(safety(1)).not.toEqual(safety(0));
  });

  it('does not take a cell without evaluations for one that has measured the references', async () => {
    const { cells } = await whole();
    const bare = { ...cells[0]!, result: { ...cells[0]!.result!, evaluations: [] } };
    const again = await runSweep({ ...emptyResults(spec), cells: [bare] }, deps(), {
      save: async () => undefined,
    });
    const { evaluations } = again.cells[1]!.result!;
    expect(Object.keys(evaluations[0]!.systems)).toContain('base');
  });

  it('goes on after being killed in any cell, to the same results', async () => {
    const expected = untimed(await whole());
    let kept = JSON.stringify(emptyResults(spec));
    for (let kills = 0; ; kills++) {
      const read = parseResults(JSON.parse(kept), parseOutcome);
      expect(read.cells).toHaveLength(kills);
      const abort = new AbortController();
      let finished = 0;
      const running = runSweep(read, deps(), {
        signal: abort.signal,
        save: async (results) => {
          kept = JSON.stringify(results);
          finished++;
        },
        // In the middle of the second cell's training, or of its scoring where nothing is trained.
        onProgress: (phase) => {
          if (finished === 1 && phase !== 'sample' && phase !== 'guard') {
            abort.abort(new Error('killed'));
          }
        },
      });
      if (kills === ids.length - 1) {
        await running;
        break;
      }
      await expect(running).rejects.toThrow('killed');
    }
    const read = parseResults(JSON.parse(kept), parseOutcome);
    expect(JSON.parse(JSON.stringify(untimed(read)))).toEqual(JSON.parse(JSON.stringify(expected)));
  });

  it('records a cell that fails and goes on; retries it when told to', async () => {
    const broken = new ToyStudent();
    const create = broken.createTrainer.bind(broken);
    broken.createTrainer = (options) =>
      options.trainable.kind === 'lora' ? Promise.reject(new Error('no room')) : create(options);
    const save = async () => undefined;
    const document = await runSweep(emptyResults(spec), deps(broken), { save });
    const failed = document.cells.filter(({ status }) => status === 'failed');
    expect(failed.map(({ id, error, result }) => [id.slice(0, 4), error, result])).toEqual([
      ['lora', 'no room', null],
      ['lora', 'no room', null],
    ]);
    expect(await runSweep(document, deps(), { save })).toEqual(document);
    const again = await runSweep(document, deps(), { save }, { retry: true });
    expect(again.cells.every(({ status }) => status === 'finished')).toBe(true);
    await expect(
      runSweep(emptyResults(spec), deps(broken), { save }, { isFatal: () => true }),
    ).rejects.toThrow('no room');
  });

  it('runs cells again whose recipe was tuned since', async () => {
    const document = await whole();
    const tuned = { ...spec, tuned: [{ adapter: 'lora' as const, set: { learningRate: 0.02 } }] };
    const seen: string[] = [];
    const again = await runSweep({ ...document, spec: tuned }, deps(), {
      save: async () => undefined,
      onCell: ({ id }) => void seen.push(id),
    });
    expect(seen).toEqual(ids.filter((id) => id.startsWith('lora')));
    expect(again.cells).toHaveLength(ids.length);
  });
});
