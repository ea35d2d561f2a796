// Node's File is enough: a folder is only read.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { relocated } from '../../formats/onnx/altered.testing';
import { findWeights } from '../runtime/model-weights';
import { openFolder } from './folder';
import { readFile, readJson } from './file-set';

const FAMILIES = new URL('../../../tests/fixtures/families/', import.meta.url);
const baseUrl = 'http://localhost/';

/** A File that lies at `path` in what was dropped. */
function at(path: string, content: string | Blob | Uint8Array<ArrayBuffer>): File {
  const file = new File([content], path.slice(path.lastIndexOf('/') + 1));
  Object.defineProperty(file, 'webkitRelativePath', { value: path.includes('/') ? path : '' });
  return file;
}

const fixture = (name: string) => new Uint8Array(readFileSync(new URL(name, FAMILIES)));

function chunked(prefix: string, onnx = `${prefix}onnx/`): File[] {
  const data = ['', '_1', '_2'].map((end) =>
    at(
      `${onnx}model_q4f16.onnx_data${end}`,
      fixture(`llama3-packed-f16/model_q4f16.onnx_data${end}`),
    ),
  );
  return [
    ...data.reverse(),
    at(`${onnx}model_q4f16.onnx`, fixture('llama3-packed-f16/model.onnx')),
    at(`${prefix}config.json`, fixture('llama3-packed-f16/config.json')),
    at(`${prefix}tokenizer.json`, '{}'),
    at(`${prefix}tokenizer_config.json`, '{"a":1}'),
    at(`${prefix}.DS_Store`, 'x'),
  ];
}

const LOCATIONS = {
  'model_q4f16.onnx_data': 'weights of mine.data',
  'model_q4f16.onnx_data_1': './weights/0.bin',
  'model_q4f16.onnx_data_2': 'weights/../part.0',
};

const pathOf = (file: File) => file.webkitRelativePath || file.name;

/** The same model with its data under other names. */
function renamed(locations: Record<string, string> = LOCATIONS): File[] {
  return chunked('m/').map((file) => {
    const inner = locations[file.name]?.replace('weights/../', '').replace('./', '');
    if (inner !== undefined) return at(`m/onnx/${inner}`, file);
    if (!file.name.endsWith('.onnx')) return file;
    return at(pathOf(file), relocated(fixture('llama3-packed-f16/model.onnx'), locations));
  });
}

const PATHS = [
  'config.json',
  'onnx/model_q4f16.onnx',
  'onnx/model_q4f16.onnx_data',
  'onnx/model_q4f16.onnx_data_1',
  'onnx/model_q4f16.onnx_data_2',
  'tokenizer.json',
  'tokenizer_config.json',
];

describe('a folder', () => {
  it('is opened wherever the model lies in it, always as the same model', async () => {
    const seen: number[] = [];
    const onProgress = ({ done }: { done: number }) => seen.push(done);
    const set = await openFolder('mine', { baseUrl, folder: chunked('mine/'), onProgress });
    expect(set).toMatchObject({ label: 'mine', revision: null, stored: 'folder' });
    expect([...set.files.keys()].sort()).toEqual(PATHS);
    expect(await readFile(set, 'onnx/model_q4f16.onnx_data_1')).toEqual(
      fixture('llama3-packed-f16/model_q4f16.onnx_data_1'),
    );
    expect(await readJson(set, 'tokenizer_config.json')).toEqual({ a: 1 });
    expect(seen.at(-1)).toBe(set.bytes);
    for (const folder of [
      chunked(''),
      chunked('a/b/c/'),
      chunked('flat/', 'flat/'),
      chunked('', ''),
    ]) {
      const other = await openFolder('other', { baseUrl, folder });
      expect(other.id).toBe(set.id);
      expect([...other.files.keys()].sort()).toEqual(PATHS);
    }
  });

  it('with other bytes is another model', async () => {
    const folder = chunked('mine/');
    const { id } = await openFolder('mine', { baseUrl, folder });
    folder.pop();
    folder[6] = at('mine/tokenizer_config.json', '{"a":2}');
    expect((await openFolder('mine', { baseUrl, folder })).id).not.toBe(id);
  });

  it('with several dtypes gives q4, and keeps data files of the others out', async () => {
    const folder = [
      ...chunked('m/'),
      at('m/onnx/model_q4.onnx', fixture('llama-optimum/model.onnx')),
    ];
    const set = await openFolder('m', { baseUrl, folder });
    expect([...set.files.keys()].filter((path) => path.startsWith('onnx/'))).toEqual([
      'onnx/model_q4.onnx',
    ]);
  });

  it.each([
    [[], /no model_q4\.onnx\. It is empty/],
    [[at('m/readme.md', '')], /no model_q4\.onnx\. It has m\/readme\.md\./],
    [[at('m/onnx/model_q4.onnx', 'x'), at('m/config.json', '{}')], /no tokenizer\.json/],
    [
      [
        at('m/onnx/model_q4.onnx', 'x'),
        at('m/config.json', '<html>'),
        at('m/tokenizer.json', '{}'),
        at('m/tokenizer_config.json', '{}'),
      ],
      /m\/config\.json is not JSON/,
    ],
  ])('says what is wrong (%#)', async (folder, message) => {
    await expect(openFolder('m', { baseUrl, folder })).rejects.toMatchObject({
      name: 'UnsupportedModelError',
      message: expect.stringMatching(message) as string,
    });
  });

  it('without a data file that its weights name says so', async () => {
    const folder = chunked('m/').filter(({ name }) => name !== 'model_q4f16.onnx_data_1');
    await expect(openFolder('m', { baseUrl, folder })).rejects.toMatchObject({
      name: 'UnsupportedModelError',
      message: expect.stringMatching(
        /has no model_q4f16\.onnx_data_1\. It has .*onnx\/model_q4f16\.onnx keeps its weights there/,
      ) as string,
    });
  });

  it('needs no data file that only its config promises', async () => {
    const config = '{"transformers.js_config":{"use_external_data_format":{"toString":1}}}';
    const folder = chunked('m/').map((file) =>
      file.name === 'config.json' ? at('m/config.json', config) : file,
    );
    const set = await openFolder('m', { baseUrl, folder });
    expect([...set.files.keys()].sort()).toEqual(PATHS);
  });

  it('has its external data under any name that its weights say, in folders too', async () => {
    const folder = renamed();
    const set = await openFolder('m', {
      baseUrl,
      folder: [...folder, at('m/onnx/other.bin', 'x')],
    });
    expect([...set.files.keys()].filter((path) => path.startsWith('onnx/')).sort()).toEqual([
      'onnx/model_q4f16.onnx',
      'onnx/part.0',
      'onnx/weights of mine.data',
      'onnx/weights/0.bin',
    ]);
    const { files } = await findWeights(set);
    expect([...files.external.keys()]).toEqual(Object.values(LOCATIONS));
    const flat = folder.map((file) => at(pathOf(file).replace('m/onnx/', 'm/'), file));
    expect((await openFolder('m', { baseUrl, folder: flat })).id).toBe(set.id);
  });

  it.each(['../config.json', '/etc/passwd', 'C:\\weights', 'a\\b', '', '.', 'a/../..', 'a\u0000b'])(
    'is refused where its weights are said to lie in %j',
    async (location) => {
      const folder = renamed({ ...LOCATIONS, 'model_q4f16.onnx_data': location });
      folder.push(at('config.json', '{}'), at('m/onnx/passwd', ''));
      await expect(openFolder('m', { baseUrl, folder })).rejects.toMatchObject({
        name: 'OnnxFormatError',
        message: expect.stringContaining('which is no file in the folder of the model') as string,
      });
    },
  );

  it('keeps its weights where a folder is called like their data', async () => {
    const folder = chunked('m/');
    const impostor = at('m/onnx/model_q4f16.onnx_data/x/model_q4f16.onnx', 'not the weights');
    const set = await openFolder('m', { baseUrl, folder: [...folder, impostor] });
    expect(await readFile(set, 'onnx/model_q4f16.onnx')).toEqual(
      fixture('llama3-packed-f16/model.onnx'),
    );
    expect([...set.files.keys()].sort()).toEqual(PATHS);
  });

  it('can be cancelled while it is read', async () => {
    const folder = chunked('m/');
    const signal = AbortSignal.abort();
    await expect(openFolder('m', { baseUrl, folder, signal })).rejects.toMatchObject({
      name: 'AbortError',
    });
  });
});
