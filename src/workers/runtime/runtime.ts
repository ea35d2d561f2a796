/**
 * How every worker that runs transformers.js sets it up: onnxruntime's WASM from our own build,
 * models from our own origin, one thread, nothing from a hub or a CDN.
 */
import type { env as transformersEnv } from '@huggingface/transformers';
import wasmUrl from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';

export { ForeignAddressError, restrictFetch } from '../files/fetch-guard';

export interface RuntimeLocation {
  /** Path that bundled models are served under, with a slash at the end: `/models/`, `/sub/models/`. */
  modelsPath: string;
}

/** Call before the first session is made; transformers.js would otherwise name a CDN. */
export function configureRuntime(env: typeof transformersEnv, { modelsPath }: RuntimeLocation) {
  const { wasm } = env.backends.onnx;
  if (!wasm) throw new Error('This build of transformers.js has no onnxruntime-web backend.');
  // Naming only the .wasm keeps the factory that is inside our bundle; that one hangs with threads.
  wasm.wasmPaths = { wasm: wasmUrl };
  wasm.numThreads = 1;
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = modelsPath;
  env.useBrowserCache = false;
}
