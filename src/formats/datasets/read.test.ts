import { describe, expect, it } from 'vitest';
import { type DatasetSource, fromStream, readTable } from './read';
import { failure, read } from './testing';

const cellsOf = async (name: string, text: string, options = {}) => {
  const { columns, rows } = await read(name, text, options);
  return [columns, ...rows.map(({ cells }) => cells)];
};

describe('the same table', () => {
  const expected = [
    ['id', 'prompt'],
    ['1', 'Good day'],
    ['2', 'A, b; "c"\nd'],
  ];
  const objects = expected.slice(1).map(([id, prompt]) => ({ id, prompt }));
  const columns = { id: ['1', '2'], prompt: ['Good day', 'A, b; "c"\nd'] };

  it.each<[string, string, string]>([
    ['CSV', 'x.csv', 'id,prompt\r\n1,Good day\r\n2,"A, b; ""c""\nd"\r\n'],
    ['CSV with a mark', 'x.csv', '\uFEFFid,prompt\n1,Good day\n2,"A, b; ""c""\nd"'],
    ['TSV', 'x.tsv', 'id\tprompt\n1\tGood day\n2\t"A, b; ""c""\nd"\n'],
    ['CSV under another name', 'x.txt', 'id,prompt\n1,Good day\n2,"A, b; ""c""\nd"'],
    ['a JSON array', 'x.json', JSON.stringify(objects)],
    ['a JSON array over lines', 'x.json', `\n ${JSON.stringify(objects, null, 2)}\n\n`],
    ['JSONL', 'x.jsonl', objects.map((row) => JSON.stringify(row)).join('\n')],
    ['JSONL called JSON', 'x.json', objects.map((row) => JSON.stringify(row)).join('\r\n')],
    ['a list under a name', 'x.json', JSON.stringify({ version: 1, data: objects }, null, 1)],
    ['a list under a name in one line', 'x.json', JSON.stringify({ items: objects })],
    [
      'the viewer’s rows',
      'x.json',
      JSON.stringify({
        features: [{ name: 'id' }],
        rows: objects.map((row, i) => ({ row_idx: i, row })),
      }),
    ],
    ['columns', 'x.json', JSON.stringify(columns)],
    [
      'columns by index',
      'x.json',
      JSON.stringify({ id: { ...columns.id }, prompt: { ...columns.prompt } }, null, 2),
    ],
    [
      'columns and data',
      'x.json',
      JSON.stringify({ columns: expected[0], index: [0, 1], data: expected.slice(1) }),
    ],
  ])('is read from %s', async (_, name, text) => {
    expect(await cellsOf(name, text)).toEqual(expected);
  });

  it('keeps where the rows were', async () => {
    const csv = await read('x.csv', 'prompt,b\n"a\na",1\n\n,\nb,2\n');
    expect(csv.rows.map(({ row, line }) => [row, line])).toEqual([
      [2, 2],
      [5, 6],
    ]);
    expect(csv.emptyRows).toBe(2);
    const jsonl = await read('x.jsonl', '\n{"a":1}\n\n{"a":2}');
    expect(jsonl.rows.map(({ row }) => row)).toEqual([2, 4]);
    const json = await read('x.json', '[{"a":1},{},{"a":null},{"b":2}]');
    expect(json.rows.map(({ row, cells }) => [row, ...cells])).toEqual([
      [1, 1],
      [4, null, 2],
    ]);
    expect(json).toMatchObject({ emptyRows: 2, columns: ['a', 'b'], format: 'json' });
  });

  it('may be a list of texts', async () => {
    expect(await cellsOf('x.json', '["a, [b]","c\\"]"]')).toEqual([
      ['prompt'],
      ['a, [b]'],
      ['c"]'],
    ]);
  });

  it('may be one record', async () => {
    expect(await read('x.jsonl', '{"prompt":"a","turns":["b"]}')).toMatchObject({
      columns: ['prompt', 'turns'],
      rows: [{ row: 1, cells: ['a', ['b']] }],
    });
  });

  it('names what has no name', async () => {
    expect((await read('x.csv', ',Goal\n0,a\n')).columns).toEqual(['column 1', 'Goal']);
    const bare = await read('x.csv', 'Is it late?,1\nWhere is north?,2\n', { header: false });
    expect(bare).toMatchObject({ columns: ['column 1', 'column 2'], rows: [{ row: 1 }, {}] });
    const odd = await read('x.csv', 'Is it late?,2024\nno,2\n', { header: true });
    expect(odd).toMatchObject({ columns: ['Is it late?', '2024'], rows: [{ row: 2 }] });
  });
});

describe('a file that is refused', () => {
  it.each<[string, string, string, object, RegExp]>([
    ['nothing', 'x.csv', '', { code: 'empty-file' }, /no rows/],
    ['blanks', 'x.csv', ' \n\n', { code: 'empty-file' }, /no rows/],
    ['an empty list', 'x.json', '[]', { code: 'empty-file' }, /no rows/],
    [
      'semicolons',
      'x.csv',
      'id;prompt;label\n1;"a, b";benign\n',
      { code: 'wrong-delimiter', row: 1, delimiter: ';' },
      /3 at semicolons/,
    ],
    [
      'tabs in a CSV',
      'x.csv',
      'id\tprompt\n1\tx, y\n',
      { code: 'wrong-delimiter', delimiter: '\t' },
      /tabs/,
    ],
    [
      'bars',
      'x.csv',
      '\nid|prompt\n1|a\n',
      { code: 'wrong-delimiter', row: 2, delimiter: '|' },
      /Row 2 .* vertical bars/,
    ],
    [
      'commas in a TSV',
      'x.tsv',
      'id,prompt\n1,a\n',
      { code: 'wrong-delimiter', delimiter: ',' },
      /commas/,
    ],
    ['a short row', 'x.csv', 'a,b\n1,2\n3\n', { code: 'ragged-row', row: 3 }, /Row 3: 1 cell,/],
    [
      'a long row',
      'x.csv',
      'a,b\n"1\n",2\n3,4,5\n',
      { code: 'ragged-row', row: 3, line: 4 },
      /Row 3 \(line 4\): 3 cells, but there are 2/,
    ],
    [
      'two columns of one name',
      'x.csv',
      'a,prompt, a\n1,2,3\n',
      { code: 'duplicate-column', column: 'a' },
      /“a”: 1 and 3/,
    ],
    [
      'no header',
      'x.csv',
      '1,What time is it?,benign\n2,Where is north?,benign\n',
      { code: 'missing-header', row: 1 },
      /cell 1 looks like data/,
    ],
    [
      'no header, prose first',
      'x.csv',
      'Please say what the weather was like yesterday,benign\n',
      { code: 'missing-header' },
      /cell 1/,
    ],
    ['a cut line', 'x.jsonl', '{"a":1}\n{"a":', { code: 'not-json', row: 2 }, /Line 2/],
    ['a cut list', 'x.json', '[{"a":1},{"a"', { code: 'not-json', row: 2 }, /Record 2: .*cut off/],
    ['a bad record', 'x.json', '[{"a":1},{a:2}]', { code: 'not-json', row: 2 }, /Record 2/],
    ['a comma too many', 'x.json', '[{"a":1},]', { code: 'not-json', row: 2 }, /Record 2/],
    ['text after the list', 'x.json', '[{"a":1}] x', { code: 'not-json' }, /follows the end/],
    ['a cut object', 'x.json', '{"data":[{"a":1}', { code: 'not-json' }, /cut off/],
    ['numbers', 'x.json', '[1,2]', { code: 'not-a-table', row: 1 }, /Row 1: not an object/],
    ['lists', 'x.jsonl', '{"a":1}\n[1]', { code: 'not-a-table', row: 2 }, /Row 2/],
    [
      'several lists',
      'x.json',
      '{"train":[{"a":1}],"test":[{"a":1}]}',
      { code: 'not-a-table' },
      /“train”, “test”/,
    ],
    [
      'columns of unequal length',
      'x.json',
      '{"a":["1","2"],"b":["1"]}',
      { code: 'ragged-row', column: 'b' },
      /“b” has 1/,
    ],
    ['CSV called JSON', 'x.json', 'a,b\n1,2', { code: 'not-json' }, /starts as none/],
  ])('%s', async (_, name, text, place, message) => {
    // At a delimiter that is said and wrong; what is right by itself is found by itself.
    const wrong = 'delimiter' in place;
    const said = name.endsWith('.tsv') ? '\t' : ',';
    const error = await failure(read(name, text, wrong ? { delimiter: said } : {}));
    expect(error).toMatchObject(place);
    if (wrong) expect((await read(name, text)).delimiter).toBe(place.delimiter);
    expect(error.message).toMatch(message);
  });

  it('is read once its delimiter is given', async () => {
    expect(await cellsOf('x.csv', 'id;prompt\n1;a, b\n', { delimiter: ';' })).toEqual([
      ['id', 'prompt'],
      ['1', 'a, b'],
    ]);
  });

  it('gives its reason where it cannot be read at all', async () => {
    const lost = { next: () => Promise.reject(new TypeError('the connection was lost')) };
    const chunks = () => ({ [Symbol.asyncIterator]: () => lost });
    const source: DatasetSource = { name: 'x.csv', size: null, chunks };
    const error = await failure(readTable(source));
    expect(error).toMatchObject({ code: 'read-failed' });
    expect(error.message).toContain('the connection was lost');
  });
});

/** `rows` rows of about 100 bytes, made as they are asked for; counts the pieces taken. */
function generated(rows: number, size: number | null, rowsEach = 500) {
  const state = { pieces: 0, bytes: 0, closed: false };
  const text = new TextEncoder();
  const source: DatasetSource = {
    name: 'large.csv',
    size,
    async *chunks() {
      try {
        yield text.encode('id,prompt,label\n');
        for (let row = 0; row < rows; row += rowsEach) {
          state.pieces++;
          let piece = '';
          for (let i = row; i < Math.min(rows, row + rowsEach); i++) {
            piece += `${i},"${'Good day, and again '.repeat(4)}${i}",benign\n`;
          }
          const bytes = text.encode(piece);
          state.bytes += bytes.length;
          yield bytes;
        }
      } finally {
        state.closed = true;
      }
    },
  };
  return { source, state };
}

describe('a file beyond the limits', () => {
  it('of a gigabyte is refused before its first byte', async () => {
    const { source, state } = generated(10, 2 ** 30);
    const error = await failure(readTable(source));
    expect(error).toMatchObject({ code: 'too-large' });
    expect(error.message).toContain('1,024 MiB; at most 64 MiB');
    expect(state.pieces).toBe(0);
  });

  it('of unknown size is given up at the limit', async () => {
    const { source, state } = generated(1e9, null);
    const error = await failure(readTable(source, { limits: { bytes: 2 ** 20 } }));
    expect(error).toMatchObject({ code: 'too-large' });
    expect(state.closed).toBe(true);
    // Not one piece more than it takes to see it.
    expect(state.bytes - state.bytes / state.pieces).toBeLessThan(2 ** 20);
  });

  it('in rows is given up at the row', async () => {
    const { source, state } = generated(1e9, null);
    const error = await failure(readTable(source, { limits: { rows: 1000 } }));
    expect(error).toMatchObject({ code: 'too-many-rows', row: 1002 });
    expect(state.closed).toBe(true);
  });

  it('gives its first rows, and reads no further', async () => {
    const { source, state } = generated(1e9, 2 ** 40);
    const table = await readTable(source, { take: 700 });
    expect(table.rows).toHaveLength(700);
    expect(table).toMatchObject({ more: true });
    expect(state).toMatchObject({ pieces: 2, closed: true });
  });

  it('that has just as many rows as are taken has no more', async () => {
    expect(await read('x.csv', 'a,b\n1,2\n', { take: 1 })).toMatchObject({ more: false });
    expect(await read('x.csv', 'a,b\n1,2\n3,4\n', { take: 1 })).toMatchObject({ more: true });
    // What comes after the rows that were asked for does not matter.
    expect((await read('x.csv', 'a,b\n1,2\n3,4\n5', { take: 1 }, 64)).rows).toHaveLength(1);
    expect((await read('x.json', '[{"a":1},{"a":2},{]', { take: 1 }, 64)).rows).toHaveLength(1);
  });

  it.each<[string, string, object, RegExp]>([
    ['x.csv', 'a,b,c\n', { columns: 2 }, /more than 2 c/],
    ['x.json', '[{"a":1,"b":2},{"c":3}]', { columns: 2 }, /Row 2: more than 2 columns/],
    ['x.json', '[{"a":"12345"}]', { cell: 4 }, /Row 1, column “a”: more than 4/],
    ['x.jsonl', '{"a":1}\n{"a":12345678}', { record: 12 }, /Line 2: more than 12/],
    ['x.json', '[{"a":1},{"a":12345678}]', { record: 12 }, /Record 2: more than 12/],
  ])('%s %s with %j', async (name, text, limits, message) => {
    expect((await failure(read(name, text, { limits }))).message).toMatch(message);
  });
});

describe('a stream', () => {
  const streamOf = (pieces: string[], log: string[]) =>
    new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          const piece = pieces.shift();
          log.push('pull');
          if (piece === undefined) controller.close();
          else controller.enqueue(new TextEncoder().encode(piece));
        },
        cancel: () => void log.push('cancel'),
      },
      { highWaterMark: 0 },
    );

  it('is read to its end', async () => {
    const source = fromStream('x.csv', streamOf(['prompt,b', '\nGood', ' day,1\n'], []));
    expect((await readTable(source)).rows[0]!.cells).toEqual(['Good day', '1']);
  });

  it('is cancelled when no more is needed', async () => {
    const log: string[] = [];
    const rows = `${'a,b\n'.repeat(200)}`;
    const source = fromStream('x.csv', streamOf([`c,d\n${rows}`, rows, rows], log));
    expect((await readTable(source, { take: 2 })).rows).toHaveLength(2);
    expect(log).toEqual(['pull', 'cancel']);
  });
});
