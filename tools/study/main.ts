/** `npm run study -- RESULTS.json … --out FOLDER`: tables and charts of sweep documents. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { DatasetError, parsePromptItems } from '../../src/distill/data/dataset';
import { SpecError } from '../../src/distill/data/spec-fields';
import { studyFiles } from './study';
import { openStudy } from './systems';

const USAGE =
  'npm run study -- RESULTS.json [MORE.json …] [--out docs/study] [--data public/data]\n' +
  'Writes tables.md and charts of the sweep documents; the same documents give the same bytes.';

class UsageError extends Error {}

async function text(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${(error as Error).message}`);
  }
}

async function main(argv: string[]): Promise<number> {
  try {
    const { values, positionals } = options(argv);
    if (values.help) {
      console.log(USAGE);
      return 0;
    }
    if (positionals.length === 0) throw new UsageError(USAGE);
    const documents: { name: string; text: string }[] = [];
    for (const path of positionals) {
      const document = { name: basename(path), text: await text(path) };
      named(path, () => openStudy([document]));
      documents.push(document);
    }
    const itemsOf = async (set: string) => {
      const path = join(values.data, `${set}.jsonl`);
      const lines = await text(path);
      return named(path, () => parsePromptItems(lines));
    };
    const items = { wording: await itemsOf('wording'), intent: await itemsOf('intent') };
    const files = studyFiles(documents, items);
    await mkdir(values.out, { recursive: true });
    for (const [name, content] of files) await writeFile(join(values.out, name), content);
    console.log(`${[...files.keys()].join(', ')}: ${values.out}`);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    return 2;
  }
}

function options(argv: string[]) {
  try {
    return parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        out: { type: 'string', default: 'docs/study' },
        data: { type: 'string', default: 'public/data' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError(`${(error as Error).message}\n${USAGE}`);
  }
}

/** Errors of a file's content, with its name. */
function named<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof SpecError || error instanceof DatasetError) {
      throw new UsageError(`${path}: ${error.message}`);
    }
    throw error;
  }
}

process.exitCode = await main(process.argv.slice(2));
