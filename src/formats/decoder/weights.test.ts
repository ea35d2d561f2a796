import { describe, expect, it } from 'vitest';
import { memorySource } from '../byte-source';
import { mapDecoder } from '../onnx/decoder';
import { referenceLogits } from '../onnx/decoder.reference';
import { FIXTURE_TOKENS, loadFixture } from '../onnx/fixtures.testing';
import type { Int4Linear } from './linear';
import type { ElementType, TensorRef } from './tensor';
import { readDense, readEmbedding, readInt4, readMatrix, readScales } from './weights';

const files = { model: memorySource(new Uint8Array(0)), external: new Map() };

function inline(
  name: string,
  dims: number[],
  dataType: ElementType,
  data: ArrayBufferView,
): TensorRef {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name, dims, dataType, byteLength: bytes.length, storage: { kind: 'inline', bytes } };
}

/** [2, 48] in three blocks of 16: byte j of a block holds levels 2j and 2j + 1. */
function int4(extra: Partial<Int4Linear> = {}): { linear: Int4Linear; levels: number[] } {
  const levels = Array.from({ length: 96 }, (_, i) => (i * 7 + (i >> 4)) % 16);
  const data = Uint8Array.from(
    { length: 48 },
    (_, i) => levels[2 * i]! | (levels[2 * i + 1]! << 4),
  );
  return {
    levels,
    linear: {
      kind: 'int4',
      outFeatures: 2,
      inFeatures: 48,
      blockSize: 16,
      data: inline('data', [2, 3, 8], 'uint8', data),
      scales: inline('scales', [6], 'float32', Float32Array.of(1, -2, 0.5, 3, 4, -0.25)),
      accuracyLevel: 0,
      ...extra,
    },
  };
}

const SCALES = [1, -2, 0.5, 3, 4, -0.25];

describe('int4 weights', () => {
  it('are (level − 8) · scale without zero points, negative scales included', async () => {
    const { linear, levels } = int4();
    expect([...(await readMatrix(linear, files))]).toEqual(
      levels.map((level, i) => (level - 8) * SCALES[i >> 4]!),
    );
  });

  it('take zero points from nibbles, even blocks low, each row in whole bytes', async () => {
    // Three blocks a row: the fourth nibble of a row is padding.
    const zeroPoints = inline('zp', [2, 2], 'uint8', Uint8Array.of(0x31, 0xf5, 0x97, 0xfb));
    const zeros = [1, 3, 5, 7, 9, 11];
    const { linear, levels } = int4({ zeroPoints });
    expect([...(await readMatrix(linear, files))]).toEqual(
      levels.map((level, i) => (level - zeros[i >> 4]!) * SCALES[i >> 4]!),
    );
  });

  it('come as words of eight consecutive inputs, lowest nibble first', async () => {
    const { linear, levels } = int4({
      bias: inline('bias', [2], 'float16', Uint16Array.of(0x3c00, 0xc000)),
    });
    const weights = await readInt4(linear, files);
    const nibbles = Array.from(weights.data).flatMap((word) =>
      Array.from({ length: 8 }, (_, i) => (word >>> (4 * i)) & 15),
    );
    expect(nibbles).toEqual(levels);
    expect(weights.zeroPoints).toBeNull();
    expect([...weights.bias!]).toEqual([1, -2]);
  });
});

describe('longer blocks', () => {
  const wide = (blockSize: number, zeroPoints: boolean): Int4Linear => ({
    kind: 'int4',
    outFeatures: 2,
    inFeatures: 192,
    blockSize,
    data: inline('wide', [2, 192 / blockSize, blockSize / 2], 'uint8', new Uint8Array(192)),
    scales: inline('scales', [6], 'float32', Float32Array.of(1, -2, 0.5, 3, 4, -0.25)),
    ...(zeroPoints && {
      zeroPoints: inline('zp', [2, 2], 'uint8', Uint8Array.of(0x31, 0xf5, 0x97, 0xfb)),
    }),
    accuracyLevel: 0,
  });

  it('give each 32 inputs the scale and the zero point of their block', async () => {
    const { scales, zeroPoints } = await readScales(wide(64, true), files);
    expect([...scales]).toEqual(SCALES.flatMap((scale) => [scale, scale]));
    expect([...zeroPoints!]).toEqual([0x11, 0x33, 0x55, 0x77, 0x99, 0xbb]);
    expect((await readScales(wide(64, false), files)).zeroPoints).toBeNull();
  });

  it('are read to the same weights', async () => {
    const linear = wide(64, true);
    const { scales, zeroPoints } = await readScales(linear, files);
    const narrow = {
      ...linear,
      blockSize: 32,
      scales: inline('scales', [12], 'float32', scales),
      zeroPoints: inline('zp', [2, 3], 'uint8', zeroPoints!),
    };
    expect(await readMatrix(narrow, files)).toEqual(await readMatrix(linear, files));
  });

  it('of no multiple of 32 are refused by name', async () => {
    await expect(readScales({ ...wide(64, false), blockSize: 16 }, files)).rejects.toThrow(
      '"wide" is quantised in blocks of 16',
    );
  });
});

it('dense weights come as [out, in] from either layout', async () => {
  const data = inline('w', [2, 3], 'float32', Float32Array.of(1, 2, 3, 4, 5, 6));
  const shape = { kind: 'dense', dtype: 'f32', data } as const;
  const straight = { ...shape, layout: 'out_in', outFeatures: 2, inFeatures: 3 } as const;
  const turned = { ...shape, layout: 'in_out', outFeatures: 3, inFeatures: 2 } as const;
  expect([...(await readDense(straight, files))]).toEqual([1, 2, 3, 4, 5, 6]);
  expect([...(await readDense(turned, files))]).toEqual([1, 4, 2, 5, 3, 6]);
});

it('a head tied to the embedding through Transpose is the embedding', async () => {
  const fixture = await loadFixture('separate');
  const head = fixture.model.nodes.find((node) => node.name === '/lm_head/MatMul_Q4')!;
  fixture.model.nodes.push({
    name: '/lm_head/Transpose',
    opType: 'Transpose',
    domain: '',
    inputs: ['model.embed_tokens.weight'],
    outputs: ['turned'],
    attributes: new Map([['perm', { kind: 'ints', value: [1, 0] }]]),
  });
  Object.assign(head, { opType: 'MatMul', domain: '', inputs: [head.inputs[0], 'turned'] });
  head.attributes.clear();
  const decoder = mapDecoder(fixture.model, fixture.config);
  expect(decoder.head).toMatchObject({ kind: 'dense', layout: 'out_in', outFeatures: 37 });
  const embedding = await readEmbedding(decoder.embedding, fixture.files);
  expect(await readMatrix(decoder.head, fixture.files)).toEqual(embedding);
  const logits = await referenceLogits(decoder, fixture.files, FIXTURE_TOKENS);
  expect(logits.every(Number.isFinite)).toBe(true);
});
