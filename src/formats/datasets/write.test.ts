import { describe, expect, it } from 'vitest';
import { seededRandom } from '../random.testing';
import { load, read } from './testing';
import { DatasetFileError, type ImportedPrompt } from './types';
import { neutraliseFormula, promptsToCsv, promptsToJsonl, restoreFormula, writeCsv } from './write';

describe('a text that a spreadsheet would run', () => {
  it.each(['=1+1', '+1', '-1', '@a', '\t=1', '\r=1', '\n=1', "'=1", "''=1"])(
    '%j gets an apostrophe, and loses just that',
    (text) => {
      expect(neutraliseFormula(text)).toBe(`'${text}`);
      expect(restoreFormula(neutraliseFormula(text))).toBe(text);
    },
  );

  it.each(['', 'a', "'", "'tis", '1-1', 'a=b', '"=1"', ' =1'])('%j is none', (text) => {
    expect(neutraliseFormula(text)).toBe(text);
    expect(restoreFormula(text)).toBe(text);
  });

  it('is text in a file, and numbers stay numbers', () => {
    expect(writeCsv([['=1+1', -1, '-1', '@x', '+x,y', null, true, undefined, NaN]])).toBe(
      "'=1+1,-1,'-1,'@x,\"'+x,y\",,true,,\r\n",
    );
  });

  it('keeps twins, forms and accepted answers', async () => {
    const items: ImportedPrompt[] = [
      {
        ...{ id: 'a', prompt: 'How many days has a week?', label: 'benign', intent: 'a' },
        ...{ answer: '7', accepted: ['7', '-7, "so"', 'seven'], form: 'question' },
      },
      { id: 'b', prompt: 'b', label: 'harmful', intent: 'b', form: 'order', pair: 'p' },
      { id: 'c', prompt: 'c', label: 'borderline', intent: 'c', form: 'order', pair: 'p' },
    ];
    expect((await load('x.csv', promptsToCsv(items))).items).toEqual(items);
    expect((await load('x.jsonl', promptsToJsonl(items))).items).toEqual(items);
  });

  it.each(['seven', '[]', '["!"]', '[7]', '{}', JSON.stringify(Array(51).fill('7'))])(
    'takes no accepted answers from %j, and says so',
    async (cell) => {
      const text = writeCsv([
        ['prompt', 'label', 'intent', 'accepted'],
        ['x', 'benign', 'x', cell],
      ]);
      await expect(load('x.csv', text)).rejects.toThrow(
        /column “accepted”: must hold 1 to 50 texts/,
      );
    },
  );

  it('starts no cell of an exported set', async () => {
    const items: ImportedPrompt[] = [
      {
        ...{ id: '=cmd', prompt: '+ 1', label: 'benign', intent: '-x', category: '@y' },
        ...{ style: '\tz', wrapper: '\rw', answer: '=2' },
      },
    ];
    const csv = promptsToCsv(items);
    const table = await read('x.csv', csv);
    for (const cell of table.rows[0]!.cells.filter((cell) => cell !== 'benign')) {
      expect(cell).toMatch(/^'/);
    }
    expect((await load('x.csv', csv)).items).toEqual(items);
  });
});

it('quotes what would break a row', () => {
  expect(writeCsv([['a,b', 'c"d', 'e\nf', 'g\rh', ' i', 'j;k', 'l\tm']])).toBe(
    '"a,b","c""d","e\nf","g\rh"," i","j;k","l\tm"\r\n',
  );
});

it('writes only the columns that are used, and one object a line', () => {
  const items: ImportedPrompt[] = [
    { id: 'a', prompt: 'Good\u2028day', label: 'benign', intent: 'greet', style: 'short' },
    { id: 'b', prompt: 'Bye', label: 'benign', intent: 'greet' },
  ];
  expect(promptsToCsv(items).split('\r\n')[0]).toBe('id,prompt,label,intent,style');
  expect(promptsToJsonl(items)).toBe(
    '{"id":"a","prompt":"Good\\u2028day","label":"benign","intent":"greet","style":"short"}\n' +
      '{"id":"b","prompt":"Bye","label":"benign","intent":"greet"}\n',
  );
});

const PIECES = [
  ...[',', '"', '""', '\n', '\r\n', '\r', ';', '\t', '|', ' ', '=', '+', '-', '@', "'", '\\'],
  ...['{', '}', '[', ']', ':', 'null', 'a', 'word', 'é', '日本', '🙂', '\u2028', '\uFEFF'],
  ...['{prompt}', '$&', '__proto__', '0', '-1.5', 'true'],
];

function randomText(random: () => number, pieces = 8): string {
  const length = Math.floor(random() * pieces);
  return Array.from({ length }, () => PIECES[Math.floor(random() * PIECES.length)]).join('');
}

describe('300 random sets', () => {
  const cases = Array.from({ length: 300 }, (_, seed) => seed + 1);

  it('come back cell by cell from CSV', async () => {
    for (const seed of cases) {
      const random = seededRandom(seed);
      const columns = 1 + Math.floor(random() * 5);
      const header = Array.from({ length: columns }, (_, i) => `c${i}`);
      const rows = Array.from({ length: 1 + Math.floor(random() * 6) }, () =>
        header.map(() => randomText(random)),
      );
      const full = rows.filter((row) => row.some((cell) => neutraliseFormula(cell).trim() !== ''));
      const size = 1 + Math.floor(random() * 50);
      const table = await read('x.csv', writeCsv([header, ...rows]), {}, size);
      const back = table.rows.map(({ cells }) => cells.map((cell) => restoreFormula(String(cell))));
      expect(back, `seed ${seed}`).toEqual(full);
      expect(table.emptyRows).toBe(rows.length - full.length);
    }
  });

  it('come back prompt by prompt from CSV and JSONL', async () => {
    for (const seed of cases) {
      const random = seededRandom(seed);
      const items = Array.from({ length: 1 + Math.floor(random() * 6) }, (_, i) => {
        const item: ImportedPrompt = {
          id: `${i}${randomText(random)}`,
          prompt: `${randomText(random)}p${i}`,
          label: (['harmful', 'borderline', 'benign'] as const)[Math.floor(random() * 3)]!,
          intent: `${randomText(random)}i`,
        };
        for (const field of ['category', 'style', 'wrapper', 'answer'] as const) {
          const text = randomText(random);
          if (text !== '') item[field] = text;
        }
        return item;
      });
      expect((await load('x.csv', promptsToCsv(items))).items, `seed ${seed}`).toEqual(items);
      expect((await load('x.jsonl', promptsToJsonl(items))).items, `seed ${seed}`).toEqual(items);
    }
  });

  it('mangled, end well or with a named error', async () => {
    const encode = new TextEncoder();
    let [read, refused] = [0, 0];
    for (const seed of cases) {
      const random = seededRandom(seed);
      const items: ImportedPrompt[] = Array.from({ length: 4 }, (_, i) => ({
        ...{ id: `${i}`, prompt: `${randomText(random)}p${i}`, label: 'benign', intent: 'i' },
      }));
      const whole = [promptsToCsv(items), promptsToJsonl(items), JSON.stringify(items)][seed % 3]!;
      const bytes = encode.encode(whole);
      const share = random() < 0.5 ? random() : 1;
      const cut = bytes.slice(0, 1 + Math.floor(share * bytes.length));
      for (let flips = Math.floor(random() * 3); flips > 0; flips--) {
        cut[Math.floor(random() * cut.length)] = Math.floor(random() * 256);
      }
      const name = random() < 0.7 ? 'x' : ['x.csv', 'x.jsonl', 'x.json'][seed % 3]!;
      try {
        await load(name, cut);
        read++;
      } catch (error) {
        expect(error, `seed ${seed}`).toBeInstanceOf(DatasetFileError);
        expect((error as Error).message).not.toBe('');
        refused++;
      }
    }
    // The cases reach both ends.
    expect(read).toBeGreaterThan(30);
    expect(refused).toBeGreaterThan(100);
  });
});
