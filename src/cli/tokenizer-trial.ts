/** Tries the tokenizer of a model's folder in a thread that can be ended. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import {
  type TrialFiles,
  type TrialLimits,
  type TrialWorker,
  tryTokenizer,
} from '../distill/data/tokenizer-trial';
import { bytesOf, exists, type ModelFolder } from './node-files';

/** Beside the entry that runs, whichever of the bundle it is. */
function threadScript(): URL {
  return new URL('tokenizer-trial.js', pathToFileURL(process.argv[1] ?? ''));
}

function spawnThread(script: URL): TrialWorker {
  const thread = new Worker(script, {
    // Of the largest tokenizers there are, several times.
    resourceLimits: { maxOldGenerationSizeMb: 2048 },
  });
  return {
    post: (files: TrialFiles) => thread.postMessage(files),
    onMessage: (hear) => thread.on('message', hear),
    onError: (hear) => thread.on('error', (error: Error) => hear(error.message)),
    end: () => void thread.terminate(),
  };
}

/** @throws FileError, TokenizerError */
export async function tryTokenizerOf(
  { path }: Pick<ModelFolder, 'path'>,
  script = threadScript(),
  limits?: TrialLimits,
): Promise<void> {
  const optional = async (name: string) =>
    (await exists(join(path, name))) ? bytesOf(join(path, name)) : null;
  const files: TrialFiles = {
    tokenizer: await bytesOf(join(path, 'tokenizer.json')),
    tokenizerConfig: await bytesOf(join(path, 'tokenizer_config.json')),
    config: await optional('config.json'),
    generation: await optional('generation_config.json'),
    template: await optional('chat_template.jinja'),
  };
  await tryTokenizer(files, () => spawnThread(script), undefined, limits);
}
