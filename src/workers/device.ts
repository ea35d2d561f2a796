/** Where a runtime session should run on this machine. */
export type RuntimeDevice = 'webgpu' | 'wasm';

export interface DeviceChoice {
  device: RuntimeDevice;
  /** A sentence that says why. */
  reason: string;
}

/** WebGPU on a real adapter; WASM elsewhere, which a software adapter does not come near. */
export async function chooseDevice(wanted: 'auto' | RuntimeDevice): Promise<DeviceChoice> {
  if (wanted !== 'auto') return { device: wanted, reason: 'Chosen by hand.' };
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  if (!adapter) return { device: 'wasm', reason: 'This browser offers no WebGPU adapter.' };
  const { info } = adapter;
  const software =
    info.isFallbackAdapter || /swiftshader|llvmpipe/i.test(`${info.description} ${info.device}`);
  if (software) {
    return { device: 'wasm', reason: 'The WebGPU adapter is software; WASM is faster here.' };
  }
  return { device: 'webgpu', reason: 'A hardware WebGPU adapter is there.' };
}
