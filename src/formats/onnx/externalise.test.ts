/** Rewritten models in the runtime that the app ships, onnxruntime's WASM build. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ByteSource, memorySource } from '../byte-source';
import { OnnxFormatError } from './errors';
import { externalise } from './externalise';
import { load, NAMES as ALL } from './families.testing';
import { readOnnx } from './proto';
import { runtimeLogits } from './runtime.testing';

const root = new URL('../../../tests/fixtures/families/', import.meta.url);
const DATA = 'model.onnx_data';
/** Only the WebGPU build has q and k norms inside GroupQueryAttention. */
const NOT_ON_A_CPU = ['qwen3-packed'];
const EXTERNAL = ['llama3-packed-f16'];
const NAMES = ALL.filter((n) => ![...NOT_ON_A_CPU, ...EXTERNAL].includes(n));

function file(name: string, path: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`${name}/${path}`, root)));
}

describe.each(NAMES)('%s', (name) => {
  it('has bit-equal logits, from a file that holds no weights', async () => {
    const original = file(name, 'model.onnx');
    const small = await externalise(memorySource(original), DATA);
    expect(small).not.toBeNull();
    const { proto, moved, movedBytes } = small!;
    expect(moved).toBeGreaterThan(10);
    // What is left beside the structure is about 50 bytes a reference.
    expect(proto.byteLength).toBeLessThan(original.byteLength - movedBytes + 100 * moved);
    const { config, ids } = await load(name);
    const expected = await runtimeLogits(original, config, ids);
    const data = [{ path: DATA, data: original }];
    expect(await runtimeLogits(proto, config, ids, data)).toEqual(expected);
    expect(expected.some((value) => value !== 0)).toBe(true);
  });

  it('reads as the same model, its weights elsewhere', async () => {
    const source = memorySource(file(name, 'model.onnx'));
    const before = await readOnnx(source);
    const after = await readOnnx(memorySource((await externalise(source, DATA))!.proto));
    expect(after.nodes.map((node) => node.name)).toEqual(before.nodes.map((node) => node.name));
    expect([...after.opsets]).toEqual([...before.opsets]);
    let external = 0;
    for (const [key, tensor] of before.initializers) {
      const { storage, ...rest } = after.initializers.get(key)!;
      expect(rest).toMatchObject({ dims: tensor.dims, dataType: tensor.dataType });
      if (storage.kind !== 'external') continue;
      external++;
      expect(storage.location).toBe(DATA);
      expect(tensor.storage).toMatchObject({ kind: 'model', offset: storage.offset });
    }
    expect(external).toBeGreaterThan(10);
  });
});

describe('externalise', () => {
  it.each(EXTERNAL)('leaves %s alone, which has external data', async (name) => {
    expect(await externalise(memorySource(file(name, 'model.onnx')), DATA)).toBeNull();
  });

  it('leaves a model alone that was rewritten already', async () => {
    const once = await externalise(memorySource(file('llama-optimum', 'model.onnx')), DATA);
    expect(await externalise(memorySource(once!.proto), DATA)).toBeNull();
  });

  it('reads no weight, however large', async () => {
    const { source, read, weight } = hugeModel(3, 300 * 2 ** 20);
    const { proto, moved, movedBytes } = (await externalise(source, 'huge.onnx_data'))!;
    expect(moved).toBe(3);
    expect(movedBytes).toBe(3 * weight);
    expect(proto.byteLength).toBeLessThan(1000);
    expect(read()).toBeLessThan(2 ** 20);
    const tensors = [...(await readOnnx(memorySource(proto))).initializers.values()];
    expect(tensors.map(({ byteLength }) => byteLength)).toEqual([weight, weight, weight]);
  });

  it('says so of a file that is cut or is something else', async () => {
    const whole = file('llama-optimum', 'model.onnx');
    for (const bytes of [whole.subarray(0, whole.length - 9), new Uint8Array([7, 7, 7, 7])]) {
      await expect(externalise(memorySource(bytes), DATA)).rejects.toThrow(OnnxFormatError);
    }
  });
});

/** `count` weights of `weight` bytes that exist only as numbers; counts the bytes that are read. */
function hugeModel(count: number, weight: number) {
  const pieces: { at: number; bytes: Uint8Array }[] = [];
  const tag = (number: number, length: number) =>
    new BinaryWriter().tag(number, WireType.LengthDelimited).uint32(length).finish();
  const heads = Array.from({ length: count }, (_, i) => {
    const tensor = new BinaryWriter()
      .tag(1, WireType.Varint)
      .int64(weight)
      .tag(2, WireType.Varint)
      .int32(2)
      .tag(8, WireType.LengthDelimited)
      .string(`weight ${i}`)
      .finish();
    const raw = tag(9, weight);
    return [tag(5, tensor.length + raw.length + weight), tensor, raw];
  });
  const graph = heads.flat().reduce((sum, part) => sum + part.length, count * weight);
  let size = 0;
  const add = (bytes: Uint8Array) => {
    pieces.push({ at: size, bytes });
    size += bytes.length;
  };
  add(tag(7, graph));
  for (const parts of heads) {
    for (const part of parts) add(part);
    size += weight;
  }
  let read = 0;
  const source: ByteSource = {
    size,
    async read(offset, length) {
      read += length;
      const bytes = new Uint8Array(length);
      for (const piece of pieces) {
        for (const [i, value] of piece.bytes.entries()) {
          const at = piece.at + i - offset;
          if (at >= 0 && at < length) bytes[at] = value;
        }
      }
      return bytes;
    },
  };
  return { source, read: () => read, weight };
}
