/** Where a runtime session should run on this machine. */
import { UnsupportedModelError } from '../../formats/decoder/errors';
import type { ModelWeights } from './model-weights';

export type RuntimeDevice = 'webgpu' | 'wasm';

export interface DeviceChoice {
  device: RuntimeDevice;
  /** A sentence that says why. */
  reason: string;
}

type Adapter = Pick<GPUAdapter, 'features'>;

export async function findAdapter(): Promise<GPUAdapter | null> {
  return (await navigator.gpu?.requestAdapter().catch(() => null)) ?? null;
}

/** WebGPU on a real adapter; WASM elsewhere, which a software adapter does not come near. */
export async function chooseDevice(wanted: 'auto' | RuntimeDevice): Promise<DeviceChoice> {
  if (wanted !== 'auto') return { device: wanted, reason: 'Chosen by hand.' };
  const adapter = await findAdapter();
  if (!adapter) return { device: 'wasm', reason: 'This browser offers no WebGPU adapter.' };
  const { info } = adapter;
  const software =
    info.isFallbackAdapter || /swiftshader|llvmpipe/i.test(`${info.description} ${info.device}`);
  if (software) {
    return { device: 'wasm', reason: 'The WebGPU adapter is software; WASM is faster here.' };
  }
  return { device: 'webgpu', reason: 'A hardware WebGPU adapter is there.' };
}

/**
 * `choice`, or the other device where these weights run only there: a session on the wrong one
 * would be made, fail at its first run and stay broken (MODELS.md §2.4, §2.6).
 * @throws UnsupportedModelError where they run on neither
 */
export async function deviceFor(
  choice: DeviceChoice,
  {
    f16,
    webgpuOnly,
    wasmOnly = null,
  }: Pick<ModelWeights, 'f16' | 'webgpuOnly'> & Partial<Pick<ModelWeights, 'wasmOnly'>>,
  label: string,
  adapterOf: () => Promise<Adapter | null> = findAdapter,
): Promise<DeviceChoice> {
  if (wasmOnly !== null) {
    if (webgpuOnly !== null) {
      throw new UnsupportedModelError(
        `${label} uses ${webgpuOnly}, which onnxruntime runs on WebGPU only, and ${wasmOnly}, which it computes right on WASM only.`,
      );
    }
    if (choice.device === 'wasm') return choice;
    return { device: 'wasm', reason: `onnxruntime computes ${wasmOnly} right on WASM only.` };
  }
  if (!f16 && webgpuOnly === null) return choice;
  if (choice.device === 'wasm' && webgpuOnly === null) return choice;
  const adapter = await adapterOf();
  const halves = adapter?.features.has('shader-f16') ?? false;
  if (webgpuOnly !== null) {
    if (!adapter) {
      throw new UnsupportedModelError(
        `${label} uses ${webgpuOnly}, which onnxruntime runs on WebGPU only, and this browser offers no WebGPU adapter.`,
      );
    }
    if (f16 && !halves) {
      throw new UnsupportedModelError(
        `${label} has half-precision weights and uses ${webgpuOnly}: that takes WebGPU with half precision (shader-f16), which this device lacks. Take its q4 weights.`,
      );
    }
    return choice.device === 'webgpu'
      ? choice
      : { device: 'webgpu', reason: `${webgpuOnly} runs on WebGPU only.` };
  }
  if (halves) return choice;
  return {
    device: 'wasm',
    reason:
      'The weights are half-precision, which this WebGPU device cannot compute in (shader-f16); WASM can. Its q4 weights would run on WebGPU.',
  };
}
