import { WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from 'vitest';
import { type ByteSource, ByteSourceError, memorySource } from '../byte-source';
import { seededRandom } from '../random.testing';
import { mapDecoder } from './decoder';
import { TensorError, UnsupportedModelError } from '../decoder/errors';
import { OnnxFormatError } from './errors';
import { loadFixture } from './fixtures.testing';
import { type OnnxModel, readOnnx } from './proto';
import {
  all,
  bytes,
  type Fill,
  modelBytes,
  nested,
  packed,
  string,
  tensor,
  varint,
} from './proto.testing';
import { readFloats, readTensor, sliceRows, type TensorRef } from '../decoder/tensor';
import { OnnxType } from './data-type';

async function initializer(...data: Parameters<typeof tensor>): Promise<number[]> {
  const file = modelBytes(tensor(...data));
  const files = { model: memorySource(file), external: new Map() };
  const model = await readOnnx(files.model);
  return [...(await readTensor(model.initializers.get(data[0])!, files))];
}

async function failure(file: Uint8Array): Promise<string> {
  const error: unknown = await readOnnx(memorySource(file)).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(OnnxFormatError);
  return (error as Error).message;
}

describe('an ONNX file', () => {
  it('gives its producer, operator sets, metadata and interface', async () => {
    const value = (name: string): Fill =>
      all(
        string(1, name),
        nested(
          2,
          nested(
            1,
            all(
              varint(1, 7),
              nested(2, all(nested(1, string(2, 'batch')), nested(1, varint(1, 37)))),
            ),
          ),
        ),
      );
    const model = await readOnnx(
      memorySource(modelBytes(nested(11, value('input_ids')), nested(12, value('logits')))),
    );
    expect(model).toEqual({
      irVersion: 10,
      producerName: 'test writer',
      producerVersion: '',
      opsets: new Map([['com.microsoft', 1]]),
      metadata: new Map([['key', 'value']]),
      nodes: [],
      initializers: new Map(),
      inputs: [{ name: 'input_ids', dataType: 7, shape: ['batch', 37] }],
      outputs: [{ name: 'logits', dataType: 7, shape: ['batch', 37] }],
    } satisfies OnnxModel);
  });

  it('gives nodes with every kind of attribute', async () => {
    const float = (number: number, value: number): Fill => {
      return (writer) => writer.tag(number, WireType.Bit32).float(value);
    };
    const attribute = (name: string, type: number, ...value: Fill[]): Fill =>
      nested(5, all(string(1, name), ...value, varint(20, type)));
    const node = nested(
      1,
      all(
        string(1, 'a'),
        string(1, ''),
        string(2, 'b'),
        string(3, 'the node'),
        string(4, 'Op'),
        string(7, 'ai.onnx'),
        attribute('f', 1, float(2, 0.5)),
        attribute('i', 2, varint(3, -3)),
        attribute('s', 3, string(4, 'text')),
        attribute('t', 4, nested(5, all(varint(2, 7), packed(7, [5])))),
        attribute('floats', 6, float(7, 1), float(7, 2)),
        attribute('ints', 7, packed(8, [1, -2])),
        attribute('strings', 8, string(9, 'x'), string(9, 'y')),
        attribute('graph', 5, nested(6, string(2, 'inner'))),
      ),
    );
    const model = await readOnnx(memorySource(modelBytes(node)));
    const [read] = model.nodes;
    expect(read).toMatchObject({
      name: 'the node',
      opType: 'Op',
      domain: '',
      inputs: ['a', ''],
      outputs: ['b'],
    });
    expect(Object.fromEntries(read!.attributes)).toMatchObject({
      f: { kind: 'float', value: 0.5 },
      i: { kind: 'int', value: -3 },
      s: { kind: 'string', value: 'text' },
      t: { kind: 'tensor', value: { dims: [], dataType: 'int64', byteLength: 8 } },
      floats: { kind: 'floats', value: [1, 2] },
      ints: { kind: 'ints', value: [1, -2] },
      strings: { kind: 'strings', value: ['x', 'y'] },
      graph: { kind: 'other' },
    });
  });

  it('locates weights without loading them', async () => {
    const weight = new Uint8Array(2 ** 20).fill(7);
    const file = modelBytes(
      tensor('big', [weight.length], OnnxType.uint8, bytes(9, weight)),
      tensor('small', [3], OnnxType.uint8, bytes(9, Uint8Array.of(1, 2, 3))),
    );
    let read = 0;
    const source: ByteSource = {
      size: file.length,
      async read(offset, length) {
        read += length;
        return file.subarray(offset, offset + length);
      },
    };
    const { initializers } = await readOnnx(source);
    expect(read).toBeLessThan(300_000);
    const files = { model: source, external: new Map() };
    expect([...(await readTensor(initializers.get('small')!, files))]).toEqual([1, 2, 3]);
    const big = await readTensor(initializers.get('big')!, files);
    expect(big.length).toBe(weight.length);
    expect(big.every((value) => value === 7)).toBe(true);
  });

  it('gives the values of typed fields as little-endian bytes', async () => {
    const floats = nested(4, (writer) => writer.float(1).float(-2));
    expect(await initializer('t', [2], OnnxType.float32, floats)).toEqual([
      0, 0, 128, 63, 0, 0, 0, 192,
    ]);
    expect(await initializer('t', [2], OnnxType.float16, packed(5, [0x3c00, 0xc000]))).toEqual([
      0, 0x3c, 0, 0xc0,
    ]);
    expect(await initializer('t', [2], OnnxType.int32, packed(5, [-1, 258]))).toEqual([
      255, 255, 255, 255, 2, 1, 0, 0,
    ]);
    expect(await initializer('t', [1], OnnxType.int64, varint(7, -2))).toEqual([
      254, 255, 255, 255, 255, 255, 255, 255,
    ]);
    expect(await initializer('t', [3], OnnxType.uint8, packed(5, [0, 255, 16]))).toEqual([
      0, 255, 16,
    ]);
    const double = nested(10, (writer) => writer.double(1));
    expect(await initializer('t', [1], OnnxType.float64, double)).toEqual([
      0, 0, 0, 0, 0, 0, 240, 63,
    ]);
    expect(await initializer('t', [0, 4], OnnxType.float32)).toEqual([]);
  });

  it('finds external data by location and offset', async () => {
    const entry = (key: string, value: string) => nested(13, all(string(1, key), string(2, value)));
    const file = modelBytes(
      tensor(
        'w',
        [2],
        OnnxType.float16,
        entry('location', 'weights.bin'),
        entry('offset', '4'),
        entry('length', '4'),
        varint(14, 1),
      ),
    );
    const model = memorySource(file);
    const ref = (await readOnnx(model)).initializers.get('w')!;
    const weights = memorySource(Uint8Array.of(9, 9, 9, 9, 0, 0x3c, 0, 0x40, 9));
    const external = new Map([['weights.bin', weights]]);
    expect([...(await readFloats(ref, { model, external }))]).toEqual([1, 2]);
    await expect(readTensor(ref, { model, external: new Map() })).rejects.toThrow(
      'in the file "weights.bin", which is missing',
    );
    const short = new Map([['weights.bin', memorySource(new Uint8Array(7))]]);
    await expect(readTensor(ref, { model, external: short })).rejects.toThrow(ByteSourceError);
  });
});

describe('a damaged file is refused', () => {
  it.each<[string, Uint8Array, string]>([
    ['that is empty', new Uint8Array(0), 'no graph'],
    ['of text', new TextEncoder().encode('<!doctype html><title>404</title>'), 'ONNX'],
    ['of zeros', new Uint8Array(100), 'ONNX'],
    [
      'whose data are shorter than the shape',
      modelBytes(tensor('w', [3], OnnxType.float32, bytes(9, new Uint8Array(8)))),
      '"w" has 8 bytes of data; its shape needs 12',
    ],
    [
      'whose shape is beyond all memory',
      modelBytes(tensor('w', [2 ** 40, 2 ** 40], OnnxType.float32)),
      'impossible dimensions',
    ],
    [
      'with a negative dimension',
      modelBytes(tensor('w', [-1], OnnxType.float32)),
      'impossible dimensions [-1]',
    ],
    ['with texts as weights', modelBytes(tensor('w', [1], 8)), 'data type 8'],
    [
      'with one name for two tensors',
      modelBytes(tensor('w', [0], OnnxType.float32), tensor('w', [0], OnnxType.float32)),
      '"w" is there twice',
    ],
    [
      'with a negative external offset',
      modelBytes(
        tensor(
          'w',
          [0],
          OnnxType.float32,
          nested(13, all(string(1, 'offset'), string(2, '-1'))),
          varint(14, 1),
        ),
      ),
      'external offset of -1',
    ],
    ['with a varint where a graph belongs', Uint8Array.of(0x38, 1), 'wire type 0'],
    ['with a length beyond its end', Uint8Array.of(0x3a, 0x80, 0x80, 0x80, 0x40), 'cut or damaged'],
  ])('%s', async (_, file, message) => {
    expect(await failure(file)).toContain(message);
  });

  it('that was cut anywhere', async () => {
    const { bytes: file } = await loadFixture('tied');
    // The opset fields after the graph are no loss that can be noticed.
    const graphEnd = file.length - 40;
    for (let length = 1; length < graphEnd; length += 509) {
      await failure(file.subarray(0, length));
    }
  });

  it('or read as something else, never with an error that is not ours', async () => {
    const { bytes: file, config } = await loadFixture('rotary');
    const random = seededRandom(1);
    let refused = 0;
    for (let round = 0; round < 300; round++) {
      const changed = file.slice();
      for (let flips = 0; flips < 3; flips++) {
        changed[Math.floor(random() * changed.length)]! ^= 1 << Math.floor(random() * 8);
      }
      try {
        mapDecoder(await readOnnx(memorySource(changed)), config);
      } catch (error) {
        const ours = [OnnxFormatError, UnsupportedModelError, TensorError].some(
          (kind) => error instanceof kind,
        );
        if (!ours) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(100);
  });
});

describe('rows of a tensor', () => {
  const ref: TensorRef = {
    name: 'w',
    dims: [4, 2],
    dataType: 'uint8',
    byteLength: 8,
    storage: { kind: 'inline', bytes: Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7) },
  };
  const files = { model: memorySource(new Uint8Array(0)), external: new Map() };

  it('are a view of the same bytes, also where the tensor is flat', async () => {
    const rows = sliceRows(ref, 4, 1, 2);
    expect(rows.dims).toEqual([2, 2]);
    expect([...(await readTensor(rows, files))]).toEqual([2, 3, 4, 5]);
    const flat = sliceRows({ ...ref, dims: [8] }, 4, 3, 1);
    expect(flat.dims).toEqual([2]);
    expect([...(await readTensor(flat, files))]).toEqual([6, 7]);
  });

  it('beyond the tensor are refused', () => {
    expect(() => sliceRows(ref, 4, 3, 2)).toThrow(TensorError);
    expect(() => sliceRows(ref, 3, 0, 1)).toThrow(TensorError);
  });
});
