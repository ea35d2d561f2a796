/** Serves a model's files to transformers.js from where they lie, without a second download. */
import type { env as transformersEnv } from '@huggingface/transformers';
import { type ModelFileSet, readFile } from '../files/open-model';
import type { RuntimeWeights } from './model-weights';
import { configureRuntime } from './runtime';

/** What transformers.js calls every model; the files behind it are the given ones. */
const NAME = 'model';
const ROOT = '/served/';

export interface ServedModel {
  name: string;
  options: {
    dtype: 'fp32';
    use_external_data_format: false;
    session_options: { externalData?: { path: string; data: Uint8Array }[] };
  };
  /** Lets go of the bytes: call when the session is made. */
  release(): void;
}

/**
 * Points `env` at the model. Whatever the weights are called, transformers.js asks for
 * `onnx/model.onnx` and gets the externalised file.
 */
export function serveToRuntime(
  env: typeof transformersEnv,
  files: ModelFileSet,
  { proto, externalData }: RuntimeWeights,
): ServedModel {
  let held: Uint8Array | null = proto;
  configureRuntime(env, { modelsPath: ROOT });
  env.fetch = async (input) => {
    const { pathname } = new URL(
      input instanceof Request ? input.url : String(input),
      'http://served',
    );
    const path = decodeURIComponent(pathname.slice(`${ROOT}${NAME}/`.length));
    if (path === 'onnx/model.onnx' && held) return answer(held);
    if (files.files.has(path)) return answer(await readFile(files, path));
    return new Response(null, { status: 404, statusText: 'Not in this model' });
  };
  return {
    name: NAME,
    options: {
      dtype: 'fp32',
      use_external_data_format: false,
      session_options: externalData.length > 0 ? { externalData } : {},
    },
    release() {
      held = null;
      externalData.length = 0;
    },
  };
}

function answer(bytes: Uint8Array): Response {
  return new Response(bytes as Uint8Array<ArrayBuffer>, {
    headers: { 'content-length': String(bytes.byteLength) },
  });
}
