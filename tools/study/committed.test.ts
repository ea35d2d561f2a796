/** What stands under docs/study is what the documents beside it give, and the page can open them. */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parsePromptItems } from '../../src/distill/data/dataset';
import { parseSweep, planSweep } from '../../src/distill/sweep/sweep';
import { studyFiles } from './study';
import { openStudy } from './systems';

const text = (path: string) => readFileSync(path, 'utf8');
const documentsIn = (...names: string[]) =>
  names.map((name) => ({ name, text: text(`docs/study/results/${name}`) }));

describe('the committed study', () => {
  it('has the tables and charts of its documents, to the byte', () => {
    const items = {
      wording: parsePromptItems(text('public/data/wording.jsonl')),
      intent: parsePromptItems(text('public/data/intent.jsonl')),
    };
    const made = studyFiles(documentsIn('other-guard.json'), items);
    expect([...made.keys()].sort()).toEqual(readdirSync('docs/study/other-guard').sort());
    for (const [name, content] of made) {
      expect(content, name).toBe(text(`docs/study/other-guard/${name}`));
    }
  });

  it('has documents that open, with every seed of the core grid', () => {
    const { systems } = openStudy(documentsIn('core-exact.json', 'core-mean.json'));
    const trained = systems.filter(({ runs }) => new Set(runs.map(({ seed }) => seed)).size === 3);
    expect(trained).toHaveLength(21);
  });

  it('has finished every cell of every specification', () => {
    const specs = readdirSync('docs/study/specs');
    expect(readdirSync('docs/study/results').sort()).toEqual([...specs].sort());
    for (const name of specs) {
      const spec = parseSweep(JSON.parse(text(`docs/study/specs/${name}`)));
      const [document] = openStudy(documentsIn(name)).documents;
      expect(document, name).toMatchObject({ finished: planSweep(spec).cells.length, failed: [] });
    }
  });
});
