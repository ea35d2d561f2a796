import { describe, expect, it } from 'vitest';
import { deviceFor, type DeviceChoice } from './device';
import { UnsupportedModelError } from '../../formats/decoder/errors';

const wasm: DeviceChoice = { device: 'wasm', reason: 'w' };
const webgpu: DeviceChoice = { device: 'webgpu', reason: 'g' };
const adapter = (...features: string[]) => ({ features: new Set(features) });
const plain = { f16: false, webgpuOnly: null };
const half = { f16: true, webgpuOnly: null };
const table = { f16: false, webgpuOnly: 'GatherBlockQuantized' };
const choose = (
  choice: DeviceChoice,
  weights: typeof plain | typeof table,
  found: ReturnType<typeof adapter> | null,
) => deviceFor(choice, weights, 'a model', async () => found);

describe('deviceFor', () => {
  it('leaves a choice alone that every weight runs on', async () => {
    expect(await choose(wasm, plain, null)).toBe(wasm);
    expect(await choose(webgpu, plain, adapter())).toBe(webgpu);
    expect(await choose(wasm, half, null)).toBe(wasm);
    expect(await choose(webgpu, half, adapter('shader-f16'))).toBe(webgpu);
    expect(await choose(webgpu, table, adapter())).toBe(webgpu);
  });

  it('takes WASM for half-precision weights where the GPU has no f16, and says so', async () => {
    const { device, reason } = await choose(webgpu, half, adapter());
    expect(device).toBe('wasm');
    expect(reason).toMatch(/shader-f16.*q4/);
  });

  it('takes WebGPU for an operator that the WASM build lacks', async () => {
    const { device, reason } = await choose(wasm, table, adapter());
    expect(device).toBe('webgpu');
    expect(reason).toMatch(/GatherBlockQuantized/);
  });

  it('takes WASM for what WebGPU computes wrong, and refuses it where WASM lacks an operator', async () => {
    const capped = { ...plain, wasmOnly: 'a soft cap' };
    expect(await deviceFor(wasm, capped, 'a model')).toBe(wasm);
    const { device, reason } = await deviceFor(webgpu, capped, 'a model');
    expect(device).toBe('wasm');
    expect(reason).toMatch(/soft cap/);
    const both = { ...table, wasmOnly: 'a soft cap' };
    await expect(deviceFor(webgpu, both, 'a model')).rejects.toThrow(
      /GatherBlockQuantized.*WebGPU only.*soft cap.*WASM only/,
    );
  });

  it('refuses what runs nowhere here, before a session is made', async () => {
    await expect(choose(wasm, table, null)).rejects.toThrow(UnsupportedModelError);
    await expect(choose(webgpu, { ...table, f16: true }, adapter())).rejects.toThrow(/shader-f16/);
  });
});
