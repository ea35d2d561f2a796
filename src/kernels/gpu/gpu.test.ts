import { describe, expect, it } from 'vitest';
import { GpuSizeError } from './errors';
import { Gpu } from './gpu';
import { testGpu } from './testing';

describe('reading back', () => {
  it('several buffers takes one submit', async () => {
    const gpu = await testGpu(true);
    const uploads = [
      [1, 2, 3],
      [4, 5],
      [6, 7, 8, 9],
    ].map((values) => gpu.upload('values', Float32Array.from(values)));
    const { submitCount } = gpu;
    const read = await gpu.readFloatsOf(uploads, 2);
    expect(read.map((values) => [...values])).toEqual([
      [1, 2],
      [4, 5],
      [6, 7],
    ]);
    expect(gpu.submitCount - submitCount).toBe(1);
    gpu.release(...uploads);
  });
});

describe('the device', () => {
  it('reads back what was written, in reads that run at once, and makes no buffer for a repeat', async () => {
    const gpu = await testGpu(true);
    const values = Float32Array.from({ length: 1000 }, (_, i) => i);
    const buffer = gpu.upload('values', values);
    const both = () => Promise.all([gpu.readFloats(buffer), gpu.readFloats(buffer, 10, 40)]);
    await both();
    const { bufferCount, allocatedBytes } = gpu;
    for (let i = 0; i < 5; i++) {
      const [all, some] = await both();
      expect(all).toEqual(values);
      expect(some).toEqual(values.slice(10, 20));
    }
    expect(gpu.bufferCount).toBe(bufferCount);
    expect(gpu.allocatedBytes).toBe(allocatedBytes);
    gpu.release(buffer);
    expect(gpu.allocatedBytes).toBe(allocatedBytes - 4000);
  });

  it('tells how many pipelines are ready, of how many asked for, and makes equal ones once', async () => {
    const gpu = await Gpu.create(navigator.gpu);
    const code = (value: number) => `@group(0) @binding(0) var<storage, read_write> y: array<u32>;
      @compute @workgroup_size(1) fn main() { y[0] = ${value}u; }`;
    await gpu.pipeline('before anyone listens', code(0));
    const told: [number, number][] = [];
    gpu.onPipeline = (ready, asked) => told.push([ready, asked]);
    await Promise.all([1, 2, 1].map((value) => gpu.pipeline('test', code(value))));
    expect(told).toEqual([
      [1, 2],
      [1, 3],
      [2, 3],
      [3, 3],
    ]);
    gpu.destroy();
  });

  it('keeps no large buffer after a large read', async () => {
    const gpu = await testGpu(true);
    const buffer = gpu.storage('large', 20 * 2 ** 20);
    const { allocatedBytes } = gpu;
    await gpu.read(buffer);
    expect(gpu.allocatedBytes).toBe(allocatedBytes);
    gpu.release(buffer);
  });

  it('binds no more than it was told to', async () => {
    const gpu = await Gpu.create(navigator.gpu, { maxBindingBytes: 2 ** 20 });
    expect(gpu.bindingBytes).toBe(2 ** 20);
    gpu.storage('fits', 2 ** 20);
    expect(() => gpu.storage('does not', 2 ** 20 + 16)).toThrow(GpuSizeError);
    gpu.destroy();
    const common = await Gpu.create(navigator.gpu, { maxBindingBytes: 128 * 2 ** 20 });
    expect(common.device.limits.maxStorageBufferBindingSize).toBe(128 * 2 ** 20);
    common.destroy();
  });
});
