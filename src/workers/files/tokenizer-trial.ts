/** Tries the tokenizer of a model that somebody else made in a worker that can be ended. */
import {
  type TrialFiles,
  type TrialLimits,
  type TrialWorker,
  tryTokenizer,
} from '../../distill/data/tokenizer-trial';
import { type ModelFileSet, readFile } from './file-set';

function spawnWorker(): TrialWorker {
  const worker = new Worker(new URL('./tokenizer-trial.worker.ts', import.meta.url), {
    type: 'module',
  });
  return {
    post: (files: TrialFiles) => worker.postMessage(files),
    onMessage: (hear) =>
      worker.addEventListener('message', ({ data }: MessageEvent<'step' | 'done'>) => hear(data)),
    onError: (hear) => worker.addEventListener('error', ({ message }) => hear(message)),
    end: () => worker.terminate(),
  };
}

/** @throws DownloadError, TokenizerError; the signal's reason */
export async function tryTokenizerOf(
  files: ModelFileSet,
  signal?: AbortSignal,
  limits?: TrialLimits,
): Promise<void> {
  const optional = async (path: string) => (files.files.has(path) ? readFile(files, path) : null);
  const bytes: TrialFiles = {
    tokenizer: await readFile(files, 'tokenizer.json'),
    tokenizerConfig: await readFile(files, 'tokenizer_config.json'),
    config: await optional('config.json'),
    generation: await optional('generation_config.json'),
    template: await optional('chat_template.jinja'),
  };
  await tryTokenizer(bytes, spawnWorker, signal, limits);
}
