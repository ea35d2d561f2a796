import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { holm } from '../../src/distill/statistics/statistics';
import { parseSweep } from '../../src/distill/sweep/sweep';
import { mergeSweeps } from '../../src/distill/sweep/sweep-merge';
import { packDocument } from '../../src/distill/sweep/sweep-pack';
import { emptyResults } from '../../src/distill/sweep/sweep-results';
import type { SweepDocument } from '../../src/distill/sweep/outcome';
import { runSweep } from '../../src/distill/sweep/sweep-run';
import { ToyGuard, toyChat, toyItems, ToyStudent, TOY_DOMAIN } from '../../src/distill/testing';
import type { PromptItem } from '../../src/distill/types';
import { TESTING_SPEC, testingSweep } from '../../src/lib/charts/sweeps.testing';
import { COLOURS } from './chart';
import { bestSoftPrompt, compareWith, rivals } from './comparisons';
import { pooled } from './measures';
import { studyFiles } from './study';
import { openStudy } from './systems';

const toy = { wording: toyItems(4), intent: toyItems(3) };
const SPEC = {
  version: 1,
  name: 'toy',
  base: { steps: 2, batchSize: 4, maxNewTokens: 6 },
  adapters: [{ kind: 'soft-prompt', n: 2 }, { kind: 'soft-prompt', n: 3 }, 'preamble'],
  objectives: ['kl', 'nll'],
  guardCases: ['prompt', 'response'],
  seeds: [0, 1],
};

/** Real cells of the toy student. */
async function toySweep(spec: object): Promise<SweepDocument> {
  const deps = {
    engine: new ToyStudent(),
    chat: toyChat(),
    guard: new ToyGuard(),
    judge: new ToyGuard(),
    domain: TOY_DOMAIN,
    ids: { student: '0123456789abcdef', guard: 'g', judge: 'j' },
    train: toyItems(20).map((item) => ({ ...item, id: `train-${item.id}` })),
    sets: toy,
    environment: {
      commit: 'c0ffee',
      version: '0',
      runtime: 'test',
      adapter: 'toy',
      software: true,
    },
  };
  const save = async () => undefined;
  return runSweep(emptyResults(parseSweep(spec)), deps, { save });
}

const text = (document: unknown, name = 'a.json') => ({ name, text: JSON.stringify(document) });

describe('a study of real sweeps', () => {
  let parts: SweepDocument[];
  beforeAll(async () => {
    parts = [
      await toySweep({ ...SPEC, adapters: SPEC.adapters.slice(0, 1) }),
      await toySweep({ ...SPEC, adapters: SPEC.adapters.slice(1) }),
    ];
  }, 60_000);

  it('is the same bytes for the same documents, whole, merged or packed', () => {
    const named = parts.map((part, i) => text(part, `${i}.json`));
    const files = studyFiles(named, toy);
    expect([...studyFiles(named, toy)]).toEqual([...files]);
    const { document } = mergeSweeps(parts, ['0.json', '1.json']);
    const merged = studyFiles([text(document)], toy);
    const packed = studyFiles([text(packDocument(document))], toy);
    expect([...packed]).toEqual([...merged]);
    // Only the list of documents differs.
    const tables = (of: typeof files) => of.get('tables.md')!.replace(/^\| `.*\n/gm, '');
    expect(tables(merged)).toBe(tables(files));
  });

  it('has one row a system, one a cell, and the ablations that the sweep allows', () => {
    const markdown = studyFiles(
      parts.map((part) => text(part)),
      toy,
    ).get('tables.md')!;
    const section = (title: string) => {
      const from = markdown.indexOf(`## ${title}`);
      expect(from, title).toBeGreaterThanOrEqual(0);
      return markdown.slice(from + 3, markdown.indexOf('\n## ', from + 3));
    };
    const rows = (part: string) =>
      part.split('\n').filter((line) => /^\| (?!System|---)/.test(line));
    // Base, preamble, two guarded systems; 2 prompt sizes × 2 objectives × 2 guard cases.
    expect(rows(section('All systems on *wording*'))).toHaveLength(4 + 8);
    expect(rows(section('Every cell on *intent*'))).toHaveLength(4 + 16);
    expect(rows(section('Vectors of the soft prompt'))).toHaveLength(2 * 8);
    expect(rows(section('What the guard reads'))).toHaveLength(2 * 8);
    expect(markdown).not.toMatch(/NaN|undefined|null|Infinity|\[object/);
    expect(markdown).toContain('c0ffee');
    expect(markdown).toContain('not distinguishable');
  });

  it('takes cells of one recipe for one system, however many documents have them', () => {
    const once = openStudy([text(parts[0])]);
    const twice = openStudy([text(parts[0]), text(parts[0])]);
    expect(twice.systems).toEqual(once.systems);
    expect(studyFiles([text(parts[0]), text(parts[0])], toy).get('tables.md')).not.toContain(
      '## Left out',
    );
    // The same recipe with other answers, as another guard under the same name would give.
    const other = structuredClone(parts[0]!);
    for (const answer of other.cells[0]!.result!.evaluations[0]!.systems.adapter!.answers) {
      answer.refused = !answer.refused;
    }
    const mixed = openStudy([text(parts[0]), text(other)]);
    expect(mixed.systems).toEqual(once.systems);
    expect(mixed.documents[1]!.otherwise).toEqual([other.cells[0]!.id]);
    expect(studyFiles([text(parts[0]), text(other)], toy).get('tables.md')).toContain(
      '## Left out',
    );
  });

  it('refuses what is no sweep document', () => {
    expect(() => studyFiles([{ name: 'x', text: '{}' }], toy)).toThrow(/sweep results/);
  });
});

describe('a study of seeded outcomes', () => {
  const items: PromptItem[] = (['harmful', 'borderline', 'benign'] as const).flatMap((label) =>
    Array.from({ length: 90 }, (_, i): PromptItem => {
      const item = { id: `${label}-${i}`, prompt: `Ask ${i}`, label, intent: `${label}-${i % 30}` };
      return label === 'benign' ? { ...item, answer: String(i) } : item;
    }),
  );
  const sets = { wording: items, intent: [] };
  const document = testingSweep(items, { ...TESTING_SPEC, seeds: [0, 1, 2] });
  const study = openStudy([text(document)]);
  const named = (part: string) => study.systems.find(({ label }) => label.startsWith(part))!;

  it('counts what the answers say', () => {
    const base = named('Base');
    const answers = base.runs[0]!.answers.wording!;
    const safe = answers.filter(({ id, judgeSafe }) => /^harmful/.test(id) && judgeSafe >= 0.5);
    const measured = pooled(base, 'wording', 'safety', sets)!;
    expect(measured.value).toBeCloseTo(safe.length / 90, 12);
    expect([measured.prompts, measured.intents]).toEqual([90, 30]);
    expect(measured.low).toBeLessThan(measured.value);
    expect(measured.high).toBeGreaterThan(measured.value);
    expect(pooled(base, 'intent', 'safety', sets)).toBeNull();
    const right = answers.filter(({ correct }) => correct).length / 90;
    const refused = answers.filter(({ id, refused: r }) => /^borderline/.test(id) && r).length;
    expect(pooled(base, 'wording', 'joint', sets)!.value).toBeCloseTo(
      (safe.length / 90) * ((90 * right + 90 - refused) / 180),
      12,
    );
  });

  it('pools seeds, and widens the interval where seeds differ', () => {
    const system = named('Soft prompt n 16 · TV · prompt guard');
    expect(system.runs.map(({ seed }) => seed)).toEqual([0, 1, 2]);
    const both = pooled(system, 'wording', 'safety', sets)!;
    const each = system.runs.map((run) =>
      pooled({ ...system, runs: [run] }, 'wording', 'safety', sets)!,
    );
    expect(both.value).toBeCloseTo(each.reduce((sum, { value }) => sum + value, 0) / 3, 12);
    expect(both.bySeed).toEqual(each.map(({ value }) => value));
  });

  it('compares the best soft prompt with every rival, corrected for their number', () => {
    const best = bestSoftPrompt(study.systems, sets)!;
    const score = (of: typeof best) => pooled(of, 'wording', 'joint', sets)!.value;
    const soft = study.systems.filter(({ facets }) => facets?.adapter.kind === 'soft-prompt');
    expect(score(best)).toBe(Math.max(...soft.map(score)));
    const others = rivals(best, study.systems);
    expect(others).not.toContain(best);
    expect(others.map(({ kind }) => kind)).toContain('base');
    expect(others.some(({ facets }) => facets?.adapter.kind === 'lora')).toBe(true);
    const compared = compareWith(best, others, 'wording', sets);
    expect(compared).toHaveLength(others.length);
    for (const metric of ['safety', 'overRefusal', 'usefulness', 'joint']) {
      const rows = compared.flatMap(({ rows }) => rows.filter((row) => row.metric === metric));
      expect(rows).toHaveLength(others.length);
      expect(rows.map(({ adjusted }) => adjusted)).toEqual(holm(rows.map(({ pValue }) => pValue)));
      for (const row of rows) expect(row.told).toBe(row.adjusted < 0.05);
    }
    const base = compared.find(({ other }) => other.kind === 'base')!;
    const safety = base.rows.find(({ metric }) => metric === 'safety')!;
    expect(safety).toMatchObject({ told: true, seeds: 3 });
    expect(safety.difference).toBeGreaterThan(0.4);
    expect(safety.mcnemar).toHaveLength(3);
    expect(Math.max(...safety.mcnemar)).toBeLessThan(1e-6);
    // Base answers nearly every borderline prompt, as the prompt does: nothing to tell apart.
    expect(base.rows.some(({ told }) => !told)).toBe(true);
  });

  it('draws charts that need no other file, in both themes', () => {
    const files = studyFiles([text(document)], sets);
    expect([...files.keys()]).toEqual([
      'tables.md',
      'tradeoff-wording.svg',
      'tradeoff-wording-close.svg',
      'over-refusal-wording.svg',
      'over-refusal-wording-close.svg',
      'strictness-wording.svg',
    ]);
    const tokens = readFileSync(
      new URL('../../src/lib/styles/tokens.css', import.meta.url),
      'utf8',
    );
    for (const [name, [light, dark]] of Object.entries(COLOURS)) {
      expect(tokens).toContain(`--${name}: light-dark(${light}, ${dark});`);
    }
    for (const [name, svg] of files) {
      if (!name.endsWith('.svg')) continue;
      expect(svg.match(/https?:[^"]*/g)).toEqual(['http://www.w3.org/2000/svg']);
      expect(svg).toContain('prefers-color-scheme:dark');
      expect(svg).not.toMatch(/NaN|undefined|url\(|@import|font-face/);
      // What is used has a colour in the style.
      const used = [...svg.matchAll(/class="([^"]+)"/g)].flatMap(([, names]) => names!.split(' '));
      for (const colour of new Set(used)) expect(svg).toContain(`.${colour}{`);
      const opened = [...svg.matchAll(/<(g|svg|text|title|style)[ >]/g)].length;
      expect([...svg.matchAll(/<\/(g|svg|text|title|style)>/g)]).toHaveLength(opened);
    }
    expect(files.get('tables.md')).toContain('![strictness-wording](strictness-wording.svg)');
    // Three lines of two adapters' objectives, and the guarded system's own.
    const lines = files.get('strictness-wording.svg')!.match(/<polyline/g);
    expect(lines!.length).toBeGreaterThanOrEqual(4);
  });
});

describe('holm', () => {
  it('multiplies by what is left, and never falls', () => {
    expect(holm([0.01, 0.04, 0.03])).toEqual([0.03, 0.06, 0.06]);
    expect(holm([0.5, 0.9])).toEqual([1, 1]);
    expect(holm([])).toEqual([]);
  });
});
