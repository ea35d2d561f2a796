// The models command on folders of its own; what takes Python and PyPI is tried by tests/interop.
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseSiteModels } from '../src/formats/site-models';
import { parseManifest, readWhole, verifyFile, type ManifestPart } from '../src/formats/manifest';
import { modelFiles, openModel } from '../src/cli/node-files';
import { idFrom, ModelsError, ModelStore } from './site-models/store.mjs';

const root = resolve(import.meta.dirname, '..');
const FAMILY = join(root, 'tests/fixtures/families/llama-optimum');

let place = '';
let models = '';
let work = '';
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'retort-models-'));
  [models, work] = [join(place, 'models'), join(place, 'work')];
  mkdirSync(models);
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

/** A folder as people have it: weights under onnx/, tokenizer and configuration beside them. */
function modelFolder(name = 'My Model'): string {
  const folder = join(place, name);
  mkdirSync(join(folder, 'onnx'), { recursive: true });
  cpSync(join(FAMILY, 'model.onnx'), join(folder, 'onnx/model_q4.onnx'));
  cpSync(join(FAMILY, 'config.json'), join(folder, 'config.json'));
  for (const file of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json']) {
    cpSync(join(root, 'public/models/pocket', file), join(folder, file));
  }
  return folder;
}

function run(args: string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['tools/models.mjs', ...args], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, RETORT_MODELS: models, RETORT_MODELS_WORK: work, ...env },
  });
  return { status, stdout, stderr };
}

const list = () => JSON.parse(readFileSync(join(models, 'site.json'), 'utf8')) as unknown;

describe('npm run models', () => {
  test('adds a folder of ONNX, lists it, checks it and removes it', () => {
    const added = run(['add', modelFolder(), '--title', 'A model', '--licence', 'MIT']);
    expect(added.stderr).toBe('');
    expect(added.stdout).toContain('Added my-model: A model');
    const manifest = parseManifest(
      JSON.parse(readFileSync(join(models, 'my-model/manifest.json'), 'utf8')),
    );
    expect(manifest).toMatchObject({ id: 'my-model', kind: 'student', licence: 'MIT' });
    expect(manifest.files.map(({ path }) => path)).toEqual([
      'config.json',
      'generation_config.json',
      'onnx/model_q4.onnx',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect(list()).toMatchObject({ models: [{ id: 'my-model', family: 'llama' }] });
    expect(run(['list']).stdout).toContain('my-model: A model, ');
    expect(run(['check'])).toMatchObject({ status: 0 });
    expect(run(['remove', 'my-model'])).toMatchObject({ status: 0 });
    expect(existsSync(join(models, 'my-model'))).toBe(false);
    expect(existsSync(join(models, 'site.json'))).toBe(false);
  });

  test('takes the data files that the weights name, whatever they are called', async () => {
    const folder = modelFolder();
    const packed = join(root, 'tests/fixtures/families/llama3-packed-f16');
    cpSync(join(packed, 'config.json'), join(folder, 'config.json'));
    const data = ['model_q4f16.onnx_data', 'model_q4f16.onnx_data_1', 'model_q4f16.onnx_data_2'];
    for (const name of data) cpSync(join(packed, name), join(folder, 'onnx', name));
    cpSync(join(packed, 'model.onnx'), join(folder, 'onnx/model_q4.onnx'));
    writeFileSync(join(folder, 'onnx/model_q4.onnx_other'), 'not of the model');
    expect(run(['add', folder, '--id', 'one'])).toMatchObject({ status: 0, stderr: '' });
    const model = await openModel(models, 'one');
    expect(model.manifest.parameters).toBeGreaterThan(0);
    const { files, close } = await modelFiles(model);
    expect([...files.external.keys()].sort()).toEqual(data);
    await close();
    expect(existsSync(join(models, 'one/onnx/model_q4.onnx_other'))).toBe(false);
    rmSync(join(folder, 'onnx', data[1]!));
    const { status, stderr } = run(['add', folder, '--id', 'two']);
    expect({ status, stderr: stderr.trim() }).toEqual({
      status: 1,
      stderr: `${folder} has no onnx/${data[1]}, where onnx/model_q4.onnx keeps its weights.`,
    });
  });

  test.each<[string, string, string, string]>([
    ['weights that are none', 'onnx/model_q4.onnx', 'no ONNX', 'ONNX'],
    ['another family', 'config.json', '{"model_type": "bert"}', 'model_type "bert"'],
    ['a tokenizer that is none', 'tokenizer.json', '{}', 'tokenizer.json'],
    ['no chat template', 'tokenizer_config.json', '{"eos_token": "</s>"}', 'chat template'],
  ])('a folder with %s is refused, and nothing of it is left', (_, file, text, words) => {
    const folder = modelFolder();
    writeFileSync(join(folder, file), text);
    const { status, stderr } = run(['add', folder, '--id', 'one']);
    expect(status).toBe(1);
    expect(stderr).toContain(words);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(readdirSync(models)).toEqual([]);
    expect(existsSync(join(work, 'one.partial'))).toBe(false);
  });

  test('says which file of a model has changed', () => {
    run(['add', modelFolder(), '--id', 'one']);
    const config = readFileSync(join(models, 'one/config.json'), 'utf8');
    writeFileSync(join(models, 'one/config.json'), config.replace('llama', 'gemma'));
    writeFileSync(join(models, 'one/generation_config.json'), '{}');
    rmSync(join(models, 'one/tokenizer.json'));
    writeFileSync(join(models, 'one/notes.txt'), 'mine');
    const { status, stdout, stderr } = run(['check']);
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
    expect(stdout).toContain('tokenizer.json is missing.');
    expect(stdout).toMatch(/generation_config\.json has 2 bytes, not \d+\./);
    expect(stdout).toContain('config.json is not the file that its manifest lists.');
    expect(stdout).toContain('Not part of it: notes.txt.');
    // Pages do not offer what they could not open.
    expect(existsSync(join(models, 'site.json'))).toBe(false);
  });

  describe('on another laptop', () => {
    let theirs = '';
    const there = (args: string[]) => run(args, { RETORT_MODELS: theirs });
    const copy = (name = 'one') => {
      cpSync(join(models, 'one'), join(theirs, name), { recursive: true });
      return join(theirs, name);
    };
    const offered = () =>
      parseSiteModels(JSON.parse(readFileSync(join(theirs, 'site.json'), 'utf8')));

    beforeEach(() => {
      theirs = join(place, 'theirs');
      mkdirSync(theirs);
      run(['add', modelFolder(), '--id', 'one', '--title', 'One', '--licence', 'MIT']);
    });

    test('a folder that was copied there is the same model', async () => {
      copy();
      const { status, stdout } = there(['check']);
      expect(status).toBe(0);
      expect(stdout).toContain('one: every file is as listed; lab and chat offer it');
      expect(stdout).toContain('One, 1 MB in 6 files, MIT, from folder My Model, ONNX');
      const { id } = await openModel(theirs, 'one');
      expect(stdout).toContain(`links name it ${id}.`);
      expect(id).toBe((await openModel(models, 'one')).id);
      expect(readFileSync(join(theirs, 'site.json'))).toEqual(
        readFileSync(join(models, 'site.json')),
      );
    });

    test('a list, and a build, find it without being told', () => {
      copy();
      expect(there(['list']).stdout).toContain('one: One, 1 MB in 6 files, MIT');
      expect(offered()).toMatchObject([{ title: 'One', source: { name: 'one' } }]);
      rmSync(join(theirs, 'site.json'));
      const env = { ...process.env, RETORT_MODELS: theirs };
      const script = 'tools/site-models/site.mjs';
      const done = spawnSync(process.execPath, [script], { cwd: root, encoding: 'utf8', env });
      expect(done).toMatchObject({ status: 0, stdout: '', stderr: '' });
      expect(offered()).toHaveLength(1);
    });

    test.each<[string, () => void, string]>([
      [
        'a copy in part',
        () => rmSync(join(copy(), 'onnx'), { recursive: true }),
        'one: not offered. onnx/model_q4.onnx is missing. Copy the folder again',
      ],
      [
        'a copy that was broken off',
        () => writeFileSync(join(copy(), 'onnx/model_q4.onnx'), 'cut'),
        'one: not offered. onnx/model_q4.onnx has 3 bytes, not 192373.',
      ],
      [
        'a copy without its manifest',
        () => rmSync(join(copy(), 'manifest.json')),
        'one: not offered. It has no manifest.json that can be read.',
      ],
      [
        'a copy under another name',
        () => copy('two'),
        'two: not offered. It is the model one under another name; call the folder one.',
      ],
      [
        'a manifest of something else',
        () => writeFileSync(join(copy(), 'manifest.json'), '{"source":"x","id":"one"}'),
        'one: not offered. The title in its manifest.json is missing or too long.',
      ],
      [
        'a manifest that leads elsewhere',
        () => {
          const path = join(copy(), 'manifest.json');
          writeFileSync(
            path,
            readFileSync(path, 'utf8').replace('config.json', '../x/config.json'),
          );
        },
        'one: not offered. Its manifest.json lists no files of a model.',
      ],
      [
        'a config.json that is none',
        () => {
          const path = join(copy(), 'config.json');
          writeFileSync(path, ' '.repeat(readFileSync(path).byteLength));
        },
        'one: not offered. config.json is not JSON.',
      ],
    ])('%s is left out, and said', (_, make, words) => {
      make();
      const { status, stdout, stderr } = there(['list']);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).toContain(words);
      expect(existsSync(join(theirs, 'site.json'))).toBe(false);
      expect(there(['check'])).toMatchObject({ status: 1, stderr: '' });
    });

    test('what is left out does not hide the others', () => {
      copy();
      copy('two');
      expect(there(['list']).stdout).toMatch(/^two: not offered.*\none: One, /);
      expect(offered()).toHaveLength(1);
    });
  });

  test('what was broken off is neither served nor in the way', () => {
    mkdirSync(join(work, 'one.partial/onnx'), { recursive: true });
    writeFileSync(join(work, 'one.partial/onnx/model_q4.onnx.part000'), 'half');
    expect(run(['add', modelFolder(), '--id', 'one']).status).toBe(0);
    expect(existsSync(join(work, 'one.partial'))).toBe(false);
    expect(existsSync(join(models, 'one/onnx/model_q4.onnx.part000'))).toBe(false);
  });

  test('a model is replaced by one of its name, and nothing else is', () => {
    run(['add', modelFolder(), '--id', 'one', '--title', 'First']);
    run(['add', modelFolder(), '--id', 'one', '--title', 'Second']);
    expect(list()).toMatchObject({ models: [{ id: 'one', title: 'Second' }] });
    mkdirSync(join(models, 'notes'));
    expect(run(['add', modelFolder(), '--id', 'notes']).stderr).toContain('was not made by this');
    cpSync(join(root, 'public/models/pocket'), join(models, 'pocket'), { recursive: true });
    expect(run(['add', modelFolder(), '--id', 'pocket']).stderr).toContain('comes with Retort');
    expect(run(['remove', 'pocket']).stderr).toContain('comes with Retort and stays');
    expect(existsSync(join(models, 'pocket/manifest.json'))).toBe(true);
  });

  test.each<[string, (folder: string) => string[], string]>([
    ['a name of nothing', () => ['add', 'nothing'], '"nothing" is no source'],
    ['a file', (folder) => ['add', join(folder, 'config.json')], 'is a file'],
    ['a folder without a model', () => ['add', place], 'has no config.json'],
    ['a bad id', (folder) => ['add', folder, '--id', '../up'], 'cannot name a model'],
    [
      'a title for a page',
      (folder) => ['add', folder, '--title', 'x'.repeat(201)],
      '--title takes 1 to 200',
    ],
    ['a missing model', () => ['remove', 'none'], 'There is no model "none"'],
  ])('%s is one sentence', (_, args, words) => {
    const { status, stderr } = run(args(modelFolder()));
    expect(status).toBe(1);
    expect(stderr).toContain(words);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });

  test('no Python is one clear line, before anything is fetched', () => {
    const { status, stderr } = run(['add', 'smollm2-135m'], { PYTHON: join(place, 'no-python') });
    expect({ status, stderr: stderr.trim() }).toEqual({
      status: 1,
      stderr: 'This needs Python 3.10 or newer and none was found. PYTHON can name another one.',
    });
  });

  test.each([[['fetch']], [['add']], [['list', 'all']], [['list', '--all']]])(
    '%j is not a command',
    (args) => {
      const { status, stderr } = run(args);
      expect(status).toBe(2);
      expect(stderr).toContain('npm run models -- COMMAND');
    },
  );
});

test('large files are cut, and joined again', async () => {
  const store = new ModelStore(models, work, 1000);
  const folder = await store.startFolder('cut');
  const bytes = Uint8Array.from({ length: 2500 }, (_, i) => (i * 31) % 251);
  mkdirSync(join(folder, 'onnx'));
  writeFileSync(join(folder, 'onnx/model_q4.onnx'), bytes);
  writeFileSync(join(folder, 'config.json'), '{}');
  const facts = { title: 'Cut', parameters: 1, licence: 'MIT', source: 'a test', command: 'test' };
  const made = await store.finish(folder, { id: 'cut', kind: 'student', ...facts, versions: {} });
  const manifest = parseManifest(made);
  const file = manifest.files.find(({ path }) => path === 'onnx/model_q4.onnx')!;
  expect(file.parts!.map((part) => part.bytes)).toEqual([1000, 1000, 500]);
  expect(existsSync(join(models, 'cut/onnx/model_q4.onnx'))).toBe(false);
  const read = async (part: ManifestPart) => {
    const found = new Uint8Array(readFileSync(join(models, 'cut', part.path)));
    await verifyFile(part, found);
    return found;
  };
  expect(await readWhole(file, read)).toEqual(bytes);
  expect(await store.check(made)).toEqual([]);
});

test('the command line opens a model in parts', async () => {
  const store = new ModelStore(models, work, 50_000);
  const folder = await store.startFolder('parts');
  cpSync(modelFolder(), folder, { recursive: true });
  const facts = {
    title: 'Parts',
    parameters: 1,
    licence: 'MIT',
    source: 'a test',
    command: 'test',
  };
  await store.finish(folder, { id: 'parts', kind: 'student', ...facts, versions: {} });
  const model = await openModel(models, 'parts');
  const { files, close } = await modelFiles(model);
  const whole = readFileSync(join(FAMILY, 'model.onnx'));
  expect(await files.model.read(0, files.model.size)).toEqual(new Uint8Array(whole));
  await close();
  writeFileSync(join(models, 'parts/onnx/model_q4.onnx.part001'), 'cut');
  await expect(openModel(models, 'parts')).rejects.toThrow('part001 is damaged');
});

test('names of folders become ids', () => {
  expect(idFrom('SmolLM2 135M (Instruct)')).toBe('smollm2-135m-instruct-');
  expect(idFrom('.hidden')).toBe('hidden');
  expect(() => idFrom('…')).not.toThrow();
  expect(new ModelsError('x').name).toBe('ModelsError');
});
