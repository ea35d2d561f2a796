/**
 * How every worker that runs transformers.js sets it up: onnxruntime's WASM from our own build,
 * models from our own origin, one thread, nothing from a hub or a CDN.
 */
import type { env as transformersEnv } from '@huggingface/transformers';
import wasmUrl from 'onnxruntime-web/ort-wasm-simd-threaded.asyncify.wasm?url';

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

/** Thrown when code inside a worker asks for an address outside this app. */
export class ForeignAddressError extends Error {
  override name = 'ForeignAddressError';
  constructor(readonly address: string) {
    super(`Refused to contact ${address}: this app only talks to the server it came from.`);
  }
}

/**
 * Makes `scope.fetch` refuse every other origin. The CSP header says the same, but a static host
 * that sends no headers leaves workers without a policy.
 */
export function restrictFetch(scope: Pick<typeof globalThis, 'fetch' | 'location'> = globalThis) {
  const { fetch } = scope;
  const { origin, href } = scope.location;
  scope.fetch = async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input, href);
    const isLocal = url.protocol === 'blob:' || url.protocol === 'data:' || url.origin === origin;
    if (!isLocal) throw new ForeignAddressError(url.href);
    return fetch.call(scope, input, init);
  };
}
