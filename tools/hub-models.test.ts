// `npm run models -- add OWNER/NAME` against a server that speaks the hub's addresses.
import { type ChildProcess, execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { hubRepository } from '../tests/e2e/fixture-model';
import { type Content, type Fault, type LogEntry, startHub } from '../tests/hub-server.mjs';
import { modelFiles, openModel } from '../src/cli/node-files';

const root = resolve(import.meta.dirname, '..');
const FIXTURES = join(root, 'tests/fixtures');
const COMMIT = 'c'.repeat(40);
const WEIGHTS = 'onnx/model_q4.onnx';
const F16 = 'families/llama3-packed-f16';

let hub: Awaited<ReturnType<typeof startHub>>;
let place = '';
let models = '';
let work = '';
let repo = '';
let count = 0;

beforeAll(async () => {
  hub = await startHub();
});
afterAll(() => hub.close());

beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'retort-hub-models-'));
  [models, work] = [join(place, 'models'), join(place, 'work')];
  mkdirSync(models);
  repo = `tests/Model-${count++}`;
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

interface Ended {
  code: number | null;
  out: string;
  err: string;
}

/** The hub answers from this process, so the command runs beside it. */
function start(args: string[], env: NodeJS.ProcessEnv = {}) {
  let child!: ChildProcess;
  const ended = new Promise<Ended>((done) => {
    const { HF_TOKEN: _token, ...rest } = process.env;
    const places = { RETORT_MODELS: models, RETORT_MODELS_WORK: work, HF_ENDPOINT: hub.url };
    child = execFile(
      process.execPath,
      ['tools/models.mjs', ...args],
      { cwd: root, env: { ...rest, ...places, ...env } },
      (_, out, err) => done({ code: child.exitCode, out, err }),
    );
  });
  return { child, ended };
}

const run = (args: string[], env?: NodeJS.ProcessEnv) => start(args, env).ended;

const post = (path: string, body: unknown) =>
  fetch(`${hub.url}/__hub/${path}`, { method: 'POST', body: JSON.stringify(body) });
const fails = (fault: Omit<Fault, 'repo'>) => post('fault', { repo, ...fault });
const log = async () =>
  (await (await fetch(`${hub.url}/__hub/log?repo=${repo}`)).json()) as LogEntry[];
/** Paths of the files whose bytes were asked for. */
const fetched = async () => [
  ...new Set(
    (await log())
      .filter(({ path, method }) => !path.startsWith('api/') && method === 'GET')
      .map(({ path }) => path),
  ),
];

/** A repository of a small Llama; files that are null are left out. */
async function publish(
  files: Record<string, Content | null> = {},
  more: { card?: unknown; token?: string; hasApi?: boolean } = {},
) {
  const usual = await hubRepository(repo, COMMIT, 'llama-optimum');
  const all = Object.entries({ ...usual.files, ...files }).filter(([, content]) => content);
  await post('repo', { ...usual, files: Object.fromEntries(all), ...more });
}

const manifestOf = (id: string) =>
  JSON.parse(readFileSync(join(models, id, 'manifest.json'), 'utf8')) as Record<string, unknown>;
const idOf = () => repo.split('/')[1]!.toLowerCase();
const nothingIsLeft = () => {
  expect(readdirSync(models)).toEqual([]);
  expect(existsSync(join(work, `${idOf()}.partial`))).toBe(false);
};
const downloads = () => join(work, 'hub', repo.replace('/', '--'), COMMIT);

describe('npm run models -- add OWNER/NAME', { timeout: 120_000 }, () => {
  test('takes the 4-bit file and its texts, at a commit, with the card’s licence', async () => {
    await publish(
      {
        'README.md': { text: 'A card.' },
        'onnx/model.onnx': { random: 1000 },
        'onnx/model_q4f16.onnx': { random: 1000 },
        'model.safetensors': { random: 1000 },
        'generation_config.json': { text: '{"eos_token_id": 6}' },
      },
      { card: { license: 'apache-2.0' } },
    );
    const { code, out, err } = await run(['add', repo]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const words = `Downloads 1 MB from ${new URL(hub.url).host}: ${repo} at commit cccccccccccc, ${WEIGHTS}. Uses up to 1 MB of disk`;
    expect(out).toContain(words);
    expect(out).toContain('licence apache-2.0. Now: npm start');
    const manifest = manifestOf(idOf());
    expect(manifest).toMatchObject({
      title: repo.split('/')[1],
      kind: 'student',
      licence: 'apache-2.0',
      source: `hub:${repo}, ${WEIGHTS}`,
      revision: COMMIT,
      command: `npm run models -- add hub:${repo}@${COMMIT}`,
      // Two layers of width 64, MLP 96, 250 words; the head is the embedding.
      parameters: 250 * 64 + 2 * (2 * 64 + 64 * 64 + 2 * 64 * 32 + 64 * 64 + 3 * 64 * 96) + 64,
    });
    expect((manifest.files as { path: string }[]).map(({ path }) => path)).toEqual([
      'config.json',
      'generation_config.json',
      WEIGHTS,
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    expect((await fetched()).sort()).toEqual([
      'config.json',
      'generation_config.json',
      WEIGHTS,
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    // Every byte, by hash, as the command line reads it.
    const { files, close } = await modelFiles(await openModel(models, idOf()));
    const whole = readFileSync(join(FIXTURES, 'families/llama-optimum/model.onnx'));
    expect(await files.model.read(0, files.model.size)).toEqual(new Uint8Array(whole));
    await close();
    expect(readdirSync(work, { recursive: true })).toEqual(['hub']);
    const { out: checked } = await run(['check']);
    expect(checked).toContain(`${idOf()}: every file is as listed`);
    expect(checked).toContain(`from hub:${repo}, ${WEIGHTS}, at commit cccccccccccc`);
  });

  test('takes a revision, a mirror and names of one’s own', async () => {
    await publish({}, { hasApi: false });
    const { code, out, err } = await run(
      ['add', `hub:${repo}@main`, '--id', 'mine', '--title', 'My model', '--licence', 'MIT'],
      { HF_ENDPOINT: `${hub.url}/` },
    );
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toContain('Added mine: My model');
    expect(manifestOf('mine')).toMatchObject({
      licence: 'MIT',
      revision: COMMIT,
      command: `npm run models -- add hub:${repo}@${COMMIT} --id mine --title "My model" --licence MIT`,
    });
  });

  test('is the same model by whatever name it was asked for', async () => {
    await publish();
    const ids = [];
    for (const text of [repo, `hub:${repo}@main`, `hub:${repo}@${COMMIT}/q4`]) {
      expect(await run(['add', text])).toMatchObject({ code: 0, err: '' });
      ids.push((await openModel(models, idOf())).id);
    }
    expect(new Set(ids).size).toBe(1);
  });

  test('takes f16 scales and the data files that the weights name, and no others', async () => {
    // Of the names that exporters choose freely, one that cannot be guessed.
    const onnx = readFileSync(join(FIXTURES, F16, 'model.onnx'), 'latin1');
    const renamed = join(place, 'model.onnx');
    const other = 'parts/q4f16.onnx_data_2';
    writeFileSync(renamed, onnx.replaceAll('model_q4f16.onnx_data_2', other), 'latin1');
    const data = (name: string) => ({ fixture: `${F16}/model_q4f16.onnx_data${name}` });
    await publish({
      'config.json': { fixture: `${F16}/config.json` },
      [WEIGHTS]: null,
      'onnx/model_q4f16.onnx': { fixture: relative(FIXTURES, renamed) },
      'onnx/model_q4f16.onnx_data': data(''),
      'onnx/model_q4f16.onnx_data_1': data('_1'),
      [`onnx/${other}`]: data('_2'),
      'onnx/model_q4f16.onnx_data_3': { random: 500 },
    });
    expect(await run(['add', repo])).toMatchObject({ code: 0, err: '' });
    expect(manifestOf(idOf())).toMatchObject({ source: `hub:${repo}, onnx/model_q4f16.onnx` });
    expect(await fetched()).not.toContain('onnx/model_q4f16.onnx_data_3');
    const { files, close } = await modelFiles(await openModel(models, idOf()));
    expect([...files.external.keys()].sort()).toEqual([
      'model_q4f16.onnx_data',
      'model_q4f16.onnx_data_1',
      other,
    ]);
    await close();
  });

  test.each(['SIGKILL', 'SIGINT'] as const)('goes on after %s', async (signal) => {
    await publish();
    await fails({ path: WEIGHTS, kind: 'stall', after: 100_000, times: 1 });
    const { child, ended } = start(['add', repo]);
    const part = join(downloads(), WEIGHTS);
    await expect
      .poll(() => (existsSync(part) ? statSync(part).size : 0), { timeout: 60_000 })
      .toBe(100_000);
    child.kill(signal);
    const { code, err } = await ended;
    if (signal === 'SIGINT') {
      expect({ code, err: err.trim() }).toEqual({
        code: 130,
        err: 'Interrupted. The same command goes on with what was fetched.',
      });
      nothingIsLeft();
    }
    // Nothing of it is served.
    expect(readdirSync(models)).toEqual([]);
    const before = (await log()).length;
    const again = await run(['add', repo]);
    expect(again).toMatchObject({ code: 0, err: '' });
    expect(again.out).toContain('1 MB of it are here from an earlier try.');
    const asked = (await log()).slice(before).filter(({ path }) => path === WEIGHTS);
    expect(asked.map(({ range }) => range)).toContain('bytes=100000-');
    expect(existsSync(downloads())).toBe(false);
    expect((await run(['check'])).code).toBe(0);
  });

  test('fetches anew what a broken-off try left of something else', async () => {
    await publish();
    mkdirSync(join(downloads(), 'onnx'), { recursive: true });
    writeFileSync(join(downloads(), WEIGHTS), new Uint8Array(50_000));
    const stale = join(downloads(), '..', 'd'.repeat(40));
    mkdirSync(stale);
    expect(await run(['add', repo])).toMatchObject({ code: 0, err: '' });
    expect((await run(['check'])).code).toBe(0);
    expect(existsSync(stale)).toBe(false);
  });

  test.each<[string, Omit<Fault, 'repo'>, string]>([
    ['bytes that changed on the way', { path: WEIGHTS, kind: 'alter', times: 1 }, WEIGHTS],
    ['another small file', { path: 'config.json', kind: 'alter', times: 1 }, 'config.json'],
    ['a hash that is another’s', { kind: 'oid', times: 2 }, WEIGHTS],
  ])('%s are refused, and nothing of them is kept', async (_, fault, path) => {
    await publish();
    await fails(fault);
    const { code, err } = await run(['add', repo]);
    expect(code).toBe(1);
    expect(err).toContain(`${path} did not come as it is listed`);
    expect(err.trim().split('\n')).toHaveLength(1);
    nothingIsLeft();
    expect(statSync(join(downloads(), path)).size).toBe(0);
    if (fault.kind === 'alter') expect((await run(['add', repo])).code).toBe(0);
  });

  test.each<[string, Record<string, Content | null>, string]>([
    [
      'a family that the engine does not read',
      { 'config.json': { text: '{"model_type": "bert", "architectures": ["BertModel"]}' } },
      'model_type "bert"; only',
    ],
    ['a config that is none', { 'config.json': { text: 'a page' } }, 'config.json'],
    ['a tokenizer that is none', { 'tokenizer.json': { text: '{}' } }, 'tokenizer.json'],
    [
      'no chat template',
      { 'tokenizer_config.json': { text: '{"eos_token": "</s>"}' } },
      'chat template',
    ],
  ])('%s is refused before the weights are fetched', async (_, files, words) => {
    await publish(files);
    const { code, err } = await run(['add', repo]);
    expect(code).toBe(1);
    expect(err).toContain(words);
    expect(err.trim().split('\n')).toHaveLength(1);
    expect(await fetched()).not.toContain(WEIGHTS);
    nothingIsLeft();
    expect(existsSync(downloads())).toBe(false);
  });

  test('a template in a file of its own will do', async () => {
    const template = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}</s>{% endfor %}";
    await publish({
      'tokenizer_config.json': { text: '{"bos_token": "<s>", "eos_token": "</s>"}' },
      'chat_template.jinja': { text: template },
    });
    expect(await run(['add', repo])).toMatchObject({ code: 0, err: '' });
    expect(readFileSync(join(models, idOf(), 'chat_template.jinja'), 'utf8')).toBe(template);
  });

  test('weights that are none are refused, and nothing of them is kept', async () => {
    await publish({ [WEIGHTS]: { random: 5000 } });
    const { code, err } = await run(['add', repo]);
    expect(code).toBe(1);
    expect(err.trim().split('\n')).toHaveLength(1);
    nothingIsLeft();
    expect(existsSync(downloads())).toBe(false);
  });

  test('a model that asks for permission takes HF_TOKEN, which the download host never sees', async () => {
    await publish({}, { token: 'a-token' });
    const refused = await run(['add', repo]);
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toContain('HF_TOKEN in the environment is read.');
    expect(await run(['add', repo], { HF_TOKEN: 'a-token' })).toMatchObject({ code: 0, err: '' });
    const seen = await log();
    expect(seen.some(({ server, authorised }) => server === 'hub' && authorised)).toBe(true);
    expect(seen.filter(({ server }) => server === 'cdn').length).toBeGreaterThan(0);
    expect(seen.some(({ server, authorised }) => server === 'cdn' && authorised)).toBe(false);
  });

  describe('safetensors', () => {
    const noPython = { PYTHON: 'no-such-python' };
    const line = 'This needs Python 3.10 or newer and none was found. PYTHON can name another one.';

    test('in one file need Python, which is said before anything is fetched', async () => {
      await publish({ [WEIGHTS]: null, 'model.safetensors': { random: 1000 } });
      const { code, out, err } = await run(['add', repo], noPython);
      expect({ code, out, err: err.trim() }).toEqual({ code: 1, out: '', err: line });
      expect(await fetched()).toEqual([]);
      nothingIsLeft();
    });

    test('in several are those that their index names', async () => {
      const map = { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' };
      await publish({
        [WEIGHTS]: null,
        'model.safetensors.index.json': { text: JSON.stringify({ weight_map: map }) },
        [map.a]: { random: 1000 },
      });
      const { code, err } = await run(['add', repo], noPython);
      expect(code).toBe(1);
      expect(err).toContain(`has no file ${map.b}, which model.safetensors.index.json names`);
    });

    test('an index that leads elsewhere is refused', async () => {
      await publish({
        [WEIGHTS]: null,
        'model.safetensors.index.json': { text: '{"weight_map": {"a": "../../x.safetensors"}}' },
      });
      expect((await run(['add', repo], noPython)).err).toContain(
        'has no file ../../x.safetensors, which',
      );
    });
  });

  test.each<[string, (repo: string) => string[], NodeJS.ProcessEnv, string]>([
    ['an unknown revision', (name) => ['add', `${name}@v9`], {}, 'has no such revision'],
    [
      'an unknown repository',
      () => ['add', 'nobody/nothing'],
      {},
      'There is no folder nobody/nothing here either.',
    ],
    ['weights of 8 bits', (name) => ['add', `hub:${name}@main/q8`], {}, 'not q8'],
    ['no name', () => ['add', 'hub:name'], {}, 'is not the name of a model'],
    ['another site', () => ['add', 'https://example.org/a/b'], {}, 'is not on huggingface.co'],
    [
      'an endpoint that is none',
      (name) => ['add', name],
      { HF_ENDPOINT: 'the hub' },
      'HF_ENDPOINT must be the address of a hub',
    ],
    ['a bad id', (name) => ['add', name, '--id', '../up'], {}, 'cannot name a model'],
  ])('%s is one sentence', async (_, args, env, words) => {
    await publish();
    const { code, err } = await run(args(repo), env);
    expect(code).toBe(1);
    expect(err).toContain(words);
    expect(err.trim().split('\n')).toHaveLength(1);
    nothingIsLeft();
  });

  test('a repository without weights says what it has', async () => {
    await publish({ [WEIGHTS]: null, 'model.gguf': { random: 10 } });
    expect((await run(['add', repo])).err).toContain(
      `${repo} has neither ${WEIGHTS} nor model.safetensors. It has model.gguf.`,
    );
  });

  test('a folder of that name comes first', async () => {
    expect((await run(['add', 'docs/study'])).err).toContain('docs/study has no config.json');
  });
});
