import { describe, expect, it } from 'vitest';
import { checkNumber, SpecError } from '../data/spec-fields';
import { baseHash, parseSweep, planSweep } from './sweep';
import {
  emptyResults,
  mergeResults,
  parseResults,
  remainingCells,
  secondsLeft,
  withCell,
  type CellResult,
} from './sweep-results';

const CORE = {
  version: 1,
  name: 'core',
  base: { student: 'pocket', steps: 20 },
  adapters: ['soft-prompt', 'lora', 'steering', 'preamble'],
  objectives: ['tv', 'kl', 'reinforce'],
  guardCases: ['prompt', { kind: 'response', sampling: 'mean' }],
  strictness: [-2, 0],
  virtualTokens: [8, 16],
  seeds: [0, 1, 2],
};

describe('planSweep', () => {
  const { cells, skipped } = planSweep(parseSweep(CORE));

  it('crosses all axes, seed by seed, without what cannot be trained', () => {
    // (2 soft prompts + lora + steering) × (2 objectives × 2 cases + reinforce × 1 case) × 2 b × 3 seeds.
    expect(cells).toHaveLength(4 * 5 * 2 * 3 + 1);
    expect(cells.slice(0, 2).map(({ id }) => id)).toEqual([
      'soft-prompt8_tv_prompt_b-2_s0',
      'soft-prompt8_tv_prompt_b0_s0',
    ]);
    expect(cells.at(-1)!.id).toBe('steering-all_reinforce_response-mean4_b0_s2');
    const seeds = cells.filter(({ objective }) => objective).map(({ seed }) => seed);
    expect(seeds).toEqual([...seeds].sort());
    expect(cells.filter(({ id }) => id === 'preamble')).toHaveLength(1);
    expect(skipped).toHaveLength(4);
    expect(skipped[0]!.reason).toMatch(/needs a guard that reads the answer/);
  });

  it('has ids that are unique, and that stay when the axes grow', () => {
    expect(new Set(cells.map(({ id }) => id)).size).toBe(cells.length);
    const grown = planSweep(
      parseSweep({ ...CORE, seeds: [2, 1, 0, 3], objectives: [...CORE.objectives, 'js'] }),
    );
    const ids = new Set(grown.cells.map(({ id }) => id));
    expect(cells.every(({ id }) => ids.has(id))).toBe(true);
  });

  it('counts what is named twice once, and defaults to the default run', () => {
    const twice = parseSweep({ version: 1, objectives: ['tv', { name: 'tv' }], seeds: [0, 0] });
    expect(planSweep(twice).cells.map(({ id }) => id)).toEqual(['soft-prompt16_tv_prompt_b0_s0']);
    const own = parseSweep({
      version: 1,
      adapters: ['soft-prompt', { kind: 'soft-prompt', n: 4 }],
      virtualTokens: [8],
    });
    expect(own.adapters.map((adapter) => adapter.kind === 'soft-prompt' && adapter.n)).toEqual([
      8, 4,
    ]);
  });
});

const DATA = { prompts: 'add', name: 'Clocks', hash: '0123456789abcdef' };

describe('parseSweep', () => {
  it('reads again what it wrote', () => {
    const spec = parseSweep(CORE);
    expect(parseSweep(JSON.parse(JSON.stringify(spec)))).toEqual(spec);
  });

  it.each([
    [null, 'sweep'],
    [{}, 'version'],
    [{ version: 2 }, 'version'],
    [{ version: 1, name: '../../x' }, 'name'],
    [{ version: 1, adaptors: [] }, 'sweep.adaptors'],
    [{ version: 1, adapters: [] }, 'adapters'],
    [{ version: 1, adapters: 'lora' }, 'adapters'],
    [{ version: 1, adapters: ['lora', { kind: 'lora', rank: 0 }] }, 'adapters[1].rank'],
    [{ version: 1, objectives: [{ name: 'tailr', gamma: 2 }] }, 'objectives[0].gamma'],
    [{ version: 1, guardCases: ['reply'] }, 'guardCases[0].kind'],
    [{ version: 1, strictness: [0, 'x'] }, 'strictness[1]'],
    [{ version: 1, seeds: [-1] }, 'seeds[0]'],
    [{ version: 1, virtualTokens: [1000] }, 'virtualTokens[0]'],
    [{ version: 1, base: { steps: 0 } }, 'base.steps'],
    [{ version: 1, base: { seed: 1 } }, 'base.seed'],
    [{ version: 1, base: { stepz: 1 } }, 'base.stepz'],
    // One student, one guard and the bundled prompts are loaded for all cells.
    [{ version: 1, tuned: [{ set: { student: 'class' } }] }, 'tuned[0].set.student'],
    [{ version: 1, tuned: [{ set: { guard: 'other' } }] }, 'tuned[0].set.guard'],
    [{ version: 1, tuned: [{ set: { data: DATA } }] }, 'tuned[0].set.data'],
    [{ version: 1, base: { data: DATA } }, 'base.data'],
    [{ version: 1, objectives: ['ppo'] }, 'objectives'],
    [{ version: 1, seeds: Array.from({ length: 101 }, (_, i) => i) }, 'seeds'],
  ])('refuses %j and names %s', (value, path) => {
    expect(() => parseSweep(value)).toThrow(SpecError);
    expect(() => parseSweep(value)).toThrow(expect.objectContaining({ path }));
  });

  it('refuses a sweep that is too large before it makes its cells', () => {
    const many = (count: number) => Array.from({ length: count }, (_, i) => i);
    const value = {
      version: 1,
      seeds: many(100),
      strictness: many(20).map((i) => i / 10),
      objectives: ['tv', 'kl', 'js', 'naive-tv', 'reverse-kl', 'nll'],
    };
    expect(() => parseSweep(value)).toThrow(/12000 cells/);
  });
});

describe('the results document', () => {
  const spec = parseSweep({ ...CORE, adapters: ['soft-prompt', 'lora'], virtualTokens: [16] });
  const ids = planSweep(spec).cells.map(({ id }) => id);
  const cell = (id: string, seconds = 10, failed = false): CellResult<{ score: number }> => ({
    id,
    status: failed ? 'failed' : 'finished',
    seconds,
    finishedAt: '2026-01-31T12:00:00.000Z',
    result: failed ? null : { score: seconds / 100 },
    ...(failed ? { error: 'The device was lost.' } : {}),
  });
  const parseScore = (value: unknown, path: string) => {
    const score = (value as { score?: unknown } | null)?.score;
    return { score: checkNumber(score, { min: 0, max: 100, integer: false }, `${path}.score`) };
  };

  it('resumes after any kill without a finished cell lost or run twice', () => {
    let results = emptyResults<{ score: number }>(spec);
    const order: string[] = [];
    for (;;) {
      // Each round is another process: all it has is the text that the last one wrote.
      results = parseResults(JSON.parse(JSON.stringify(results)), parseScore);
      const [next] = remainingCells(results);
      if (!next) break;
      order.push(next.id);
      results = withCell(results, cell(next.id));
    }
    expect(order).toEqual(ids);
    expect(results.cells.map(({ id }) => id)).toEqual(ids);
  });

  it('runs failed cells again only when asked', () => {
    const results = withCell(emptyResults<{ score: number }>(spec), cell(ids[0]!, 3, true));
    expect(remainingCells(results)[0]!.id).toBe(ids[1]);
    expect(remainingCells(results, { retry: true })[0]!.id).toBe(ids[0]);
    const again = withCell(results, cell(ids[0]!));
    expect(again.cells).toHaveLength(1);
    expect(again.cells[0]!.status).toBe('finished');
  });

  it('merges documents: finished before failed, earlier before later', () => {
    const empty = emptyResults<{ score: number }>(spec);
    const a = withCell(withCell(empty, cell(ids[0]!, 1)), cell(ids[1]!, 1, true));
    const b = withCell(withCell(empty, cell(ids[0]!, 2)), cell(ids[1]!, 2));
    const merged = mergeResults(spec, [a, b]);
    expect(merged.cells.map(({ id, seconds }) => [id, seconds])).toEqual([
      [ids[0], 1],
      [ids[1], 2],
    ]);
    // A grown specification takes them over; another base does not.
    const grown = parseSweep({ ...CORE, seeds: [0, 1, 2, 3] });
    expect(mergeResults(grown, [merged]).cells).toHaveLength(2);
    const other = parseSweep({ ...CORE, base: { steps: 21 } });
    expect(() => mergeResults(other, [merged])).toThrow(SpecError);
    expect(baseHash(other)).not.toBe(baseHash(spec));
    expect(baseHash(parseSweep({ ...CORE, base: { steps: 20 } }))).toBe(baseHash(spec));
  });

  it('keeps results of cells that are no longer planned', () => {
    const results = withCell(emptyResults<{ score: number }>(spec), cell(ids.at(-1)!));
    const fewer = parseSweep({ ...CORE, seeds: [0] });
    const kept = mergeResults(fewer, [results]);
    expect(kept.cells).toHaveLength(1);
    expect(remainingCells(kept)).toHaveLength(planSweep(fewer).cells.length);
  });

  it('estimates the time left from the cells most like those to come', () => {
    const empty = emptyResults<{ score: number }>(spec);
    expect(secondsLeft(empty)).toBeNull();
    const one = withCell(empty, cell(ids[0]!, 10));
    expect(secondsLeft(one)).toBeCloseTo(10 * (ids.length - 1), 9);
    expect(secondsLeft(one, { id: ids[1]!, seconds: 4 })).toBeCloseTo(10 * (ids.length - 1) - 4, 9);
    expect(secondsLeft(one, { id: ids[1]!, seconds: 400 })).toBeCloseTo(10 * (ids.length - 2), 9);
    // REINFORCE is slower: its cells are expected to be, whatever the adapter.
    const slow = ids.find((id) => id.startsWith('soft-prompt16_reinforce'))!;
    const two = withCell(one, cell(slow, 100));
    const slower = ids.filter((id) => id.includes('reinforce')).length;
    expect(secondsLeft(two)).toBeCloseTo(100 * (slower - 1) + 10 * (ids.length - slower - 1), 9);
    let all = empty;
    for (const id of ids) all = withCell(all, cell(id));
    expect(secondsLeft(all)).toBe(0);
  });

  const good = withCell(emptyResults<{ score: number }>(spec), cell(ids[0]!));
  it.each([
    ['format', { ...good, format: 'other' }],
    ['base', { ...good, base: '00000000' }],
    ['cells', { ...good, cells: 'none' }],
    ['cells[0].status', { ...good, cells: [{ ...good.cells[0], status: 'running' }] }],
    ['cells[0].seconds', { ...good, cells: [{ ...good.cells[0], seconds: null }] }],
    ['cells[0].finishedAt', { ...good, cells: [{ ...good.cells[0], finishedAt: 'soon' }] }],
    ['cells[0].result.score', { ...good, cells: [{ ...good.cells[0], result: null }] }],
    ['cells[1].id', { ...good, cells: [good.cells[0], good.cells[0]] }],
    ['adapters', { ...good, spec: { ...good.spec, adapters: {} } }],
  ])('refuses a document with a wrong %s', (path, value) => {
    const parse = () => parseResults(JSON.parse(JSON.stringify(value)), parseScore);
    expect(parse).toThrow(expect.objectContaining({ name: 'SpecError', path }));
  });
});
