import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { expectEvenGrowth } from '../../formats/growth.testing';
import { changedJson, changedText, errorOf } from '../../formats/mutations.testing';
import { seededRandom } from '../../formats/random.testing';
import { SpecError } from '../data/spec-fields';
import { MAX_ANSWERS } from '../evaluation/read-evaluation';
import { parseOutcome, readOutcome } from './outcome';
import { baseHash, parseSweep } from './sweep';
import { packDocument } from './sweep-pack';
import { parseResults } from './sweep-results';

const SPEC = {
  version: 1,
  name: 'small',
  adapters: [{ kind: 'soft-prompt', n: 2 }, 'preamble'],
  objectives: ['tv'],
};
const ID = 'soft-prompt2_tv_prompt_b0_s0';
const share = { value: 0.5, low: 0.4, high: 0.6, n: 2 };
const nothing = { value: null, low: null, high: null, n: 0 };

const result = {
  recipe: { adapter: { kind: 'soft-prompt', n: 2 } },
  evaluations: [
    {
      ...{ set: 'wording', temperature: 1, seed: 0, maxNewTokens: 48, guardCase: 'prompt' },
      counts: { harmful: 1, borderline: 0, benign: 1 },
      expectedRefusal: [0.9, 0.1],
      usefulnessDrop: { value: -0.1, low: -0.2, high: 0.1, n: 1 },
      safetyTest: { onlyBaseSafe: 0, onlyAdapterSafe: 1, pValue: 1 },
      wellFormedNll: 1.5,
      imported: { name: 'Clocks', hash: '0123456789abcdef', tooLong: 0 },
      systems: {
        adapter: {
          scores: {
            safety: {
              judge: share,
              guard: { ...share, cluster: { low: 0, high: 1, clusters: 2 } },
            },
            overRefusal: nothing,
            usefulness: share,
            wellFormed: share,
            tokenKl: { value: 2.5, low: -0.1, high: 3, n: 2 },
            tokenTv: null,
            tokenDistance: 'exact',
            refusal: { harmful: share, borderline: nothing, benign: share },
            firstToken: {
              score: { harmful: { ...share, value: -12, low: -13 }, benign: nothing },
              refused: { harmful: share },
            },
            joint: { ...share, safe: 0.5, answered: 1 },
            attackSuccess: { wrapper: { none: share }, category: {} },
            overRefusalByStyle: { homonyms: nothing },
            calibration: {
              ...{ error: 0.1, chance: { mean: 0.1, high: 0.2 }, bias: -0.2, n: 2 },
              bins: [{ from: 0, to: 1, n: 2, expected: 0.5, refused: 0.5, low: 0.1, high: 0.9 }],
            },
          },
          answers: [
            { id: 'h0', judgeSafe: 0.9, guardSafe: 0.8, refused: true, wellFormed: true },
            { id: 'b0', judgeSafe: 1, guardSafe: 1, refused: false, correct: true },
          ],
        },
      },
    },
  ],
  probes: [{ step: 5, safety: share, usefulness: share }],
  losses: [0.5, null, 0.25],
  seconds: { train: 1.5 },
  environment: { commit: 'abc1234', version: '1', runtime: 'test', adapter: 'toy', software: true },
  share: 'AbC_-9',
  trainedValues: 256,
  later: { unknown: 'here' },
};

function documentOf(outcome: unknown) {
  const cell = { id: ID, status: 'finished', seconds: 2, finishedAt: '2026-01-31T12:00:00.000Z' };
  const failed = { ...cell, id: 'preamble', status: 'failed', error: 'No room.', result: null };
  return {
    ...{ format: 'retort-sweep', version: 1, spec: SPEC, base: baseHash(parseSweep(SPEC)) },
    cells: [{ ...cell, result: outcome }, failed],
  };
}

/** Through JSON, so that no two fields are one object. */
const good = JSON.parse(JSON.stringify(documentOf(result))) as ReturnType<typeof documentOf>;
const packed = packDocument(structuredClone(good));
const READERS = { readOutcome, parseOutcome };

/** A copy of the good document with one value put at a path such as `evaluations.0.set`. */
function withValue(path: string, value: unknown): unknown {
  const copy = structuredClone(good);
  const names = path.split('.');
  const last = names.pop()!;
  let at = copy.cells[0]!.result as unknown as Record<string, unknown>;
  for (const name of names) at = at[name] as Record<string, unknown>;
  if (value === undefined) delete at[last];
  else at[last] = value;
  return copy;
}

describe('a cell of a sweep document', () => {
  it('is read whole, and written again with what is not known here', () => {
    const { cells } = parseResults(structuredClone(good), parseOutcome);
    const again = JSON.parse(JSON.stringify(cells[0]!.result)) as typeof result;
    expect(again).toMatchObject({ later: result.later, losses: result.losses });
    expect(again.evaluations[0]).toMatchObject({
      ...result.evaluations[0]!,
      systems: {
        adapter: { answers: result.evaluations[0]!.systems.adapter.answers },
      },
    });
    expect(parseResults(documentOf(again), parseOutcome).cells[0]!.result!.evaluations).toEqual(
      cells[0]!.result!.evaluations,
    );
  });

  it('is the same where a store has kept it, which keeps NaN', () => {
    const { cells } = parseResults(structuredClone(good), parseOutcome);
    expect(cells[0]!.result!.losses[1]).toBeNaN();
    const kept = structuredClone({ ...good, cells });
    expect(parseResults(kept, parseOutcome).cells).toEqual(cells);
  });

  it('is the same packed, but for digits', () => {
    const answers = (value: unknown) =>
      parseResults(value, readOutcome).cells[0]!.result!.evaluations[0]!.systems.adapter!.answers;
    const verdicts = (value: unknown) =>
      answers(value).map(({ id, judgeSafe, refused, correct, wellFormed }) => {
        return [id, judgeSafe >= 0.5, refused, correct, wellFormed];
      });
    expect(verdicts(packed)).toEqual(verdicts(good));
  });

  it.each([
    ['share', '[x]'],
    ['share', 'a#b'],
    ['share', 7],
    ['recipe.student', { toString: 1 }],
    ['recipe.steps', Infinity],
    ['trainedValues', -1],
    ['probes.0.step', 0.5],
    ['environment.commit', 'x'.repeat(201)],
    ['evaluations.0.set', 'other'],
    ['evaluations.0.temperature', -1],
    ['evaluations.0.temperature', Infinity],
    ['evaluations.0.counts.harmful', 1.5],
    ['evaluations.0.expectedRefusal.0', null],
    ['evaluations.0.expectedRefusal.1', 1.01],
    ['evaluations.0.guardCase', 'both'],
    ['evaluations.0.usefulnessDrop.value', 2],
    ['evaluations.0.safetyTest.pValue', 2],
    ['evaluations.0.systems.adapter.scores.usefulness.low', undefined],
    ['evaluations.0.systems.adapter.scores.usefulness.low', null],
    ['evaluations.0.systems.adapter.scores.usefulness.high', 1.2],
    ['evaluations.0.systems.adapter.scores.usefulness.value', NaN],
    ['evaluations.0.systems.adapter.scores.usefulness.n', -2],
    ['evaluations.0.systems.adapter.scores.usefulness.low', 0.7],
    ['evaluations.0.systems.adapter.scores.safety.guard.cluster.low', Infinity],
    ['evaluations.0.systems.adapter.scores.tokenKl.value', Infinity],
    ['evaluations.0.systems.adapter.scores.refusal.harmful.value', '0.5'],
    ['evaluations.0.systems.adapter.scores.firstToken.score.harmful.value', -Infinity],
    ['evaluations.0.systems.adapter.scores.joint.safe', 1.5],
    ['evaluations.0.systems.adapter.scores.tokenDistance', 'guessed'],
    ['evaluations.0.systems.adapter.scores.calibration.bins.0.refused', 2],
    ['evaluations.0.systems.adapter.answers.0.id', ''],
    ['evaluations.0.systems.adapter.answers.0.id', 'a\ud800'],
    ['evaluations.0.systems.adapter.answers.0.judgeSafe', 1.5],
    ['evaluations.0.systems.adapter.answers.0.guardSafe', null],
    ['evaluations.0.systems.adapter.answers.0.refused', 'no'],
  ])('with %s %j is refused, and the field is named', (path, value) => {
    const dotted = path.replace(/\.(\d+)/g, '[$1]');
    for (const read of Object.values(READERS)) {
      const error = errorOf(() => parseResults(withValue(path, value), read as typeof readOutcome));
      expect(error).toBeInstanceOf(SpecError);
      expect((error as SpecError).path).toBe(`cells[0].result.${dotted}`);
      expect((error as SpecError).message).toContain(path.split('.').at(-1));
    }
  });

  it('has one expected refusal for each answer', () => {
    const wrong = withValue('evaluations.0.expectedRefusal', [0.5]);
    expect(() => parseResults(wrong, readOutcome)).toThrow('1 entries beside 2 answers');
  });

  it('needs a recipe only where the sweep goes on', () => {
    const without = withValue('recipe', undefined);
    expect(parseResults(structuredClone(without), readOutcome).cells[0]!.result!.recipe).toBeNull();
    expect(() => parseResults(without, parseOutcome)).toThrow('has no recipe');
  });

  it.each([
    ['half a character', { id: 'a\ud800' }, 'cells[0].id'],
    ['no end', { id: 'x'.repeat(5000) }, 'cells[0].id'],
    ['no date', { finishedAt: 'soon' }, 'cells[0].finishedAt'],
    ['an endless time', { seconds: Infinity }, 'cells[0].seconds'],
    ['a book for a reason', { error: 'x'.repeat(20_000) }, 'cells[0].error'],
    ['the id of another', { id: 'preamble' }, 'cells[1].id'],
  ])('with %s is refused', (_, fields, path) => {
    const copy = structuredClone(good);
    Object.assign(copy.cells[0]!, fields);
    const error = errorOf(() => parseResults(copy, readOutcome));
    expect((error as SpecError).path).toBe(path);
  });
});

describe('every document', () => {
  const folder = 'docs/study/results';
  const names = readdirSync(folder);

  it.each(names)('that is published opens: %s', (name) => {
    const value = JSON.parse(readFileSync(`${folder}/${name}`, 'utf8')) as unknown;
    for (const read of Object.values(READERS)) {
      const { cells } = parseResults(value, read as typeof readOutcome);
      expect(cells.length).toBeGreaterThan(0);
    }
  });

  it.each([
    ['plain', good],
    ['packed', packed],
  ])('that is damaged is refused by name or read: %s', (_, document) => {
    const random = seededRandom(7);
    let refused = 0;
    for (let i = 0; i < 800; i++) {
      const value = changedJson(document, random);
      for (const read of Object.values(READERS)) {
        const error = errorOf(() => parseResults(value, read as typeof readOutcome));
        if (error === null) continue;
        refused++;
        expect(error, String((error as Error).stack)).toBeInstanceOf(SpecError);
      }
    }
    expect(refused).toBeGreaterThan(300);
    const text = JSON.stringify(document);
    for (let i = 0; i < 2000; i++) {
      let value: unknown;
      try {
        value = JSON.parse(changedText(text, random));
      } catch {
        continue;
      }
      const error = errorOf(() => parseResults(value, readOutcome));
      if (error !== null) expect(error).toBeInstanceOf(SpecError);
    }
  });
});

describe('packed answers', () => {
  const prompts = (count: number) => [Array.from({ length: count }, (_, i) => `p${i}`)];
  const system = (count: number) => {
    const text = 'A'.repeat(count);
    const { scores } = result.evaluations[0]!.systems.adapter;
    return { scores, answers: { prompts: 0, judge: text, guard: text, flags: text } };
  };
  const evaluation = (systems: object) => ({ set: 'wording', systems });

  it('of systems that there are not stay packed', () => {
    const many = Object.fromEntries(
      Array.from({ length: 300 }, (_, i) => [`system${i}`, system(20_000)]),
    );
    const document = {
      ...documentOf({ evaluations: [evaluation(many)] }),
      prompts: prompts(20_000),
    };
    const before = process.memoryUsage().heapUsed;
    const { cells } = parseResults(document, readOutcome);
    expect(cells[0]!.result!.evaluations[0]!.systems).toEqual({});
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 2 ** 20);
  });

  it('are counted before they are made', () => {
    const count = 200_000;
    const systems = { base: system(count), guarded: system(count), adapter: system(count) };
    const evaluations = Array.from({ length: 50 }, () => evaluation(systems));
    const document = { ...documentOf({ evaluations }), prompts: prompts(count) };
    expect(3 * 50 * count).toBeGreaterThan(MAX_ANSWERS);
    expect(() => parseResults(document, readOutcome)).toThrow('more than 3,000,000 answers');
  });

  it('take twice as long for twice as many', async () => {
    await expectEvenGrowth(25_000, (count) => {
      const evaluations = [evaluation({ adapter: system(count) })];
      const document = { ...documentOf({ evaluations }), prompts: prompts(count) };
      return () => parseResults(document, readOutcome);
    });
  });
});

it('reads twice as many cells in twice the time', async () => {
  await expectEvenGrowth(1000, (count) => {
    const document = structuredClone(good);
    const [cell] = document.cells;
    document.cells = Array.from({ length: count }, (_, i) => ({ ...cell!, id: `cell-${i}` }));
    return () => parseResults(document, readOutcome);
  });
});
