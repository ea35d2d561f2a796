/** The fixtures of every family in onnxruntime's plain WASM build, which Node takes. */
import { describe, expect, it } from 'vitest';
import { distance, externalDataOf, load, NAMES } from '../formats/onnx/families.testing';
import { runtimeLogits } from '../formats/onnx/runtime.testing';

/** Only the WebGPU and CUDA builds have q and k norms inside GroupQueryAttention. */
const NOT_ON_A_CPU = ['qwen3-packed'];

describe.each(NAMES.filter((name) => !NOT_ON_A_CPU.includes(name)))('%s', (name) => {
  it('has the logits of PyTorch in onnxruntime', async () => {
    const { bytes, config, ids, f16, logits } = await load(name);
    const found = await runtimeLogits(bytes, config, ids, externalDataOf(name));
    expect(distance(found, logits)).toBeLessThan(f16 ? 5e-3 : 1e-4);
  });
});
