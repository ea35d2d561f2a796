/**
 * A decoder's weights as the runtime takes them, and where it runs them. Half-precision weights on a
 * WebGPU device without shader-f16 are widened to float32 in memory: what is stored stays as it was
 * hashed. Where that is not safe they run on WASM, as they are.
 */
import { mapDecoder } from '../../formats/onnx/decoder';
import { TensorError, UnsupportedModelError } from '../../formats/decoder/errors';
import { OnnxFormatError, WideningError } from '../../formats/onnx/errors';
import { readOnnx } from '../../formats/onnx/proto';
import { widen } from '../../formats/onnx/widen';
import { deviceFor, type DeviceChoice, findAdapter } from './device';
import { type ModelFileSet, readJson } from '../files/open-model';
import {
  findWeights,
  type ModelWeights,
  runtimeWeights,
  type RuntimeWeights,
} from './model-weights';

/** A file of 3.2 GB is reported to overflow the runtime's memory (MODELS.md §1.1). */
const MAX_WIDENED_BYTES = 2.5 * 2 ** 30;

const WIDENED =
  'Its half-precision weights are float32 in memory: this adapter has no half precision (shader-f16).';

export interface DecoderWeights {
  choice: DeviceChoice;
  runtime: RuntimeWeights;
  /** The runtime computes in half precision. */
  f16: boolean;
}

type Adapter = Pick<GPUAdapter, 'features' | 'limits'>;

/** @throws UnsupportedModelError where no device here can run it; DownloadError, OnnxFormatError */
export async function decoderWeights(
  files: ModelFileSet,
  wanted: DeviceChoice,
  adapterOf: () => Promise<Adapter | null> = findAdapter,
): Promise<DecoderWeights> {
  const weights = await findWeights(files);
  const place = (f16: boolean) => deviceFor(wanted, { ...weights, f16 }, files.label, adapterOf);
  const adapter = await lackingAdapter(wanted, weights, adapterOf);
  if (!adapter) {
    const choice = await place(weights.f16);
    return { choice, runtime: await runtimeWeights(files, weights), f16: weights.f16 };
  }
  try {
    const runtime = await widened(files, weights, adapter);
    const { device, reason } = await place(false);
    return { choice: { device, reason: `${reason} ${WIDENED}` }, runtime, f16: false };
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const { device, reason } = await place(true);
    const why = `${reason} They cannot be float32 here: ${error.message}.`;
    const runtime = await runtimeWeights(files, weights);
    return { choice: { device, reason: why }, runtime, f16: true };
  }
}

/** The WebGPU adapter that should run half-precision weights and cannot; else null. */
async function lackingAdapter(
  { device }: DeviceChoice,
  { f16, webgpuOnly, wasmOnly }: ModelWeights,
  adapterOf: () => Promise<Adapter | null>,
): Promise<Adapter | null> {
  const onWebgpu = wasmOnly === null && (device === 'webgpu' || webgpuOnly !== null);
  if (!f16 || !onWebgpu) return null;
  const adapter = await adapterOf();
  return adapter?.features.has('shader-f16') ? null : adapter;
}

async function widened(
  files: ModelFileSet,
  { files: onnx }: ModelWeights,
  { limits }: Adapter,
): Promise<RuntimeWeights> {
  // A graph that is understood to its last node has no operator that asks for half precision.
  mapDecoder(await readOnnx(onnx.model), await readJson(files, 'config.json'));
  const { proto, chunks } = await widen(onnx, {
    tensorBytes: Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize),
    totalBytes: MAX_WIDENED_BYTES,
  });
  return { proto, externalData: chunks };
}

function isRefusal(error: unknown): error is Error {
  return [WideningError, UnsupportedModelError, TensorError, OnnxFormatError].some(
    (kind) => error instanceof kind,
  );
}
