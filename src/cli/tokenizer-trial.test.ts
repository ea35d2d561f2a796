import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TokenizerError } from '../distill/data/tokenizer-files';
import { tryTokenizerOf } from './tokenizer-trial';

const root = fileURLToPath(new URL('../../', import.meta.url));
const pocket = join(root, 'public/models/pocket');
const LIMITS = { build: 30_000, step: 3000 };
let folder = '';
let script: URL;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tokenizer-trial-'));
  const entry = join(root, 'src/cli/tokenizer-trial.worker.ts');
  await build({
    configFile: false,
    root,
    logLevel: 'error',
    publicDir: false,
    ssr: { noExternal: true },
    build: {
      ssr: true,
      outDir: join(folder, 'bundle'),
      rollupOptions: { input: { trial: entry }, output: { entryFileNames: '[name].mjs' } },
    },
  });
  script = pathToFileURL(join(folder, 'bundle/trial.mjs'));
}, 60_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

type Json = Record<string, unknown>;

async function tried(change: (tokenizer: Json, config: Json) => void, limits = LIMITS) {
  const json = async (name: string) =>
    JSON.parse(await readFile(join(pocket, name), 'utf8')) as Json;
  const [tokenizer, config] = [await json('tokenizer.json'), await json('tokenizer_config.json')];
  change(tokenizer, config);
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
  return tryTokenizerOf({ path: folder }, script, limits);
}

const split = (Regex: string) => (tokenizer: Json) => {
  tokenizer.pre_tokenizer = {
    type: 'Split',
    pattern: { Regex },
    behavior: 'Isolated',
    invert: false,
  };
};

describe('a tokenizer on trial', () => {
  it('passes where it comes to an end', async () => {
    await tryTokenizerOf({ path: pocket }, script, LIMITS);
    await tryTokenizerOf({ path: join(root, 'public/models/guard') }, script, LIMITS);
    const usual =
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" +
      ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
    await tried(split(usual));
  });

  const endless = ['(a+)+$', '(a|aa)+$', '(x+x+)+y', '([a-z]+)*1', '(?:ab|abab)+c', '(\\s+)+x'];
  // Classes and escapes name characters, too.
  const named = ['(\\p{M}+)+$', '(\\p{Script=Han}+)+$', '(\\p{Sc}+)+$', '([\\u0430-\\u044f]+)+1'];
  it.each([...endless, ...named])('is ended where it does not: %s', async (pattern) => {
    const start = performance.now();
    const error = await tried(split(pattern)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TokenizerError);
    expect((error as Error).message).toMatch(/patterns take more than 3 s/);
    expect(performance.now() - start).toBeLessThan(30_000);
  });

  it('goes on behind a text that the tokenizer has no ids for', async () => {
    const error = await tried((tokenizer) => {
      split('(a+)+$')(tokenizer);
      // No token for what is unknown, and no bytes: the first text that is not in the vocabulary throws.
      tokenizer.model = { type: 'WordPiece', vocab: { a: 0 }, unk_token: null };
    }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TokenizerError);
  });

  it('leaves what is plainly wrong to those who open it', async () => {
    await tried((tokenizer) => {
      (tokenizer.added_tokens as Json[])[0]!.content = { length: 1e308 };
    });
    await tried((_, config) => {
      config.chat_template = '{% for i in range(1000000000) %}{% endfor %}';
    });
    await writeFile(join(folder, 'tokenizer.json'), '['.repeat(200_000));
    await tryTokenizerOf({ path: folder }, script, LIMITS);
  });
});
