/** Files that were made to cost time or memory, and files that are damaged: bounded, and refused in words. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from 'vitest';
import { type ByteSource, ByteSourceError, memorySource } from '../byte-source';
import { readTensor, type TensorRef } from '../decoder/tensor';
import { OnnxType } from './data-type';
import { readRotary } from '../decoder/weights';
import { expectEvenGrowth } from '../growth.testing';
import { seededRandom } from '../random.testing';
import { inline } from './altered.testing';
import { mapDecoder } from './decoder';
import { TensorError, UnsupportedModelError } from '../decoder/errors';
import { OnnxFormatError, WideningError } from './errors';
import { externalise } from './externalise';
import { type Family, load } from './families.testing';
import { type OnnxModel, type OnnxNode, readOnnx } from './proto';
import {
  all,
  bytes,
  type Fill,
  modelBytes,
  nested,
  operator,
  string,
  tensor,
  varint,
} from './proto.testing';
import { widen } from './widen';

const ROOM = { tensorBytes: 2 ** 20, totalBytes: 2 ** 22 };
const KINDS = [OnnxFormatError, UnsupportedModelError, TensorError, WideningError, ByteSourceError];

/** The sentence of an error that is ours; others are thrown on. */
async function refusal(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (!KINDS.some((kind) => error instanceof kind)) throw error;
    return (error as Error).message;
  }
  return 'was accepted';
}

const filesOf = (file: Uint8Array) => ({ model: memorySource(file), external: new Map() });
const everyReader: [string, (file: Uint8Array) => Promise<unknown>][] = [
  ['readOnnx', (file) => readOnnx(memorySource(file))],
  ['externalise', (file) => externalise(memorySource(file), 'weights')],
  ['widen', (file) => widen(filesOf(file), ROOM)],
];

function node(opType: string, inputs: string[], outputs: string[]): OnnxNode {
  const attributes: OnnxNode['attributes'] = new Map();
  if (opType === 'Cast') attributes.set('to', { kind: 'int', value: OnnxType.float32 });
  return { name: `/long/${outputs[0]}`, opType, domain: '', inputs, outputs, attributes };
}

/** `length` nodes of one operator, each reading the one before it; the first reads `tensor`. */
function chain(opType: string, length: number, tensor: string, ...others: string[]): OnnxNode[] {
  return Array.from({ length }, (_, i) =>
    node(opType, [i === 0 ? tensor : `${opType} ${i - 1}`, ...others], [`${opType} ${i}`]),
  );
}

/** Makes all that read `tensor` read the end of a chain of nodes that start at it. */
function lengthen({ model }: Family, tensor: string, opType: string, length: number, by: string[]) {
  const nodes = chain(opType, length, tensor, ...by);
  for (const reader of model.nodes) {
    reader.inputs = reader.inputs.map((input) =>
      input === tensor ? `${opType} ${length - 1}` : input,
    );
  }
  model.nodes.push(...nodes);
}

const shape = (model: OnnxModel, name: string, values: number[]) =>
  model.initializers.set(
    name,
    inline(name, [values.length], 'int64', BigInt64Array.from(values, BigInt)),
  );

describe('a graph of very many or very deep nodes', () => {
  const DEPTH = 20_000;

  it('is mapped through 60,000 Identities', async () => {
    const family = await load('llama-optimum');
    lengthen(family, 'input_ids', 'Identity', 60_000, []);
    expect(mapDecoder(family.model, family.config).layers).toHaveLength(2);
  });

  it.each(['Identity', 'Cast'])('takes time in proportion to its %s nodes', async (opType) => {
    const whole = await load('llama-optimum');
    const gathered = whole.model.nodes.find(({ inputs }) => inputs.includes('input_ids'))!;
    await expectEvenGrowth(5000, (size) => {
      const model = { ...whole.model, nodes: whole.model.nodes.map((one) => ({ ...one })) };
      lengthen({ ...whole, model }, gathered.outputs[0]!, opType, size, []);
      return () => mapDecoder(model, whole.config);
    });
  });

  it.each([
    ['Cast', 'of the embedding', 'embedding'],
    ['Cast', 'of the attention mask', 'attention_mask'],
    ['Unsqueeze', 'of the attention mask', 'attention_mask'],
    ['Reshape', 'of a norm weight', 'model.norm.weight'],
  ])('has no stack to overflow: %s %s', async (opType, _, where) => {
    const family = await load('llama-optimum');
    const { model } = family;
    const gathered = model.nodes.find(({ inputs }) => inputs.includes('input_ids'))!;
    const weight = [...model.initializers.keys()].find((key) => key.endsWith('norm.weight'))!;
    const tensor =
      where === 'embedding' ? gathered.outputs[0]! : where.startsWith('model') ? weight : where;
    shape(model, 'all', [-1]);
    lengthen(family, tensor, opType, DEPTH, opType === 'Cast' ? [] : ['all']);
    expect(mapDecoder(model, family.config).layers).toHaveLength(2);
  });

  it('of constants has no stack to overflow either, nor of what only shapes are asked of', async () => {
    const family = await load('llama-optimum');
    const { model } = family;
    // Frequencies that are computed from constants by a long way.
    const reader = model.nodes.find(
      ({ opType, name }) => opType === 'Expand' && name.includes('rotary_emb'),
    )!;
    model.initializers.set('one', inline('one', [1], 'float32', Float32Array.of(1)));
    model.nodes.push(...chain('Mul', DEPTH, 'one', 'one'));
    reader.inputs[0] = `Mul ${DEPTH - 1}`;
    // A tail whose last node is asked for its shape.
    model.nodes.push(...chain('Unsqueeze', DEPTH, 'attention_mask', 'one'));
    model.nodes.find(({ name }) => name === '/model/rotary_emb/Shape')!.inputs[0] =
      `Unsqueeze ${DEPTH - 1}`;
    expect(mapDecoder(model, family.config).rotary.kind).toBe('computed');
  });

  it('does not double its work at each Reshape', async () => {
    const family = await load('llama-optimum');
    const { model } = family;
    const weight = [...model.initializers.keys()].find((key) => key.endsWith('norm.weight'))!;
    for (let i = 0; i < 60; i++) {
      const from = i === 0 ? weight : `doubled ${i - 1}`;
      model.nodes.push(node('Reshape', [from, from], [`doubled ${i}`]));
    }
    const norm = model.nodes.find(({ inputs }) => inputs.includes(weight))!;
    norm.inputs = norm.inputs.map((input) => (input === weight ? 'doubled 59' : input));
    expect(mapDecoder(model, family.config).layers).toHaveLength(2);
  });

  it('takes time in proportion to the readers of one tensor', async () => {
    const whole = await load('llama-optimum');
    await expectEvenGrowth(7500, (size) => {
      const model = { ...whole.model, nodes: [...whole.model.nodes] };
      for (let i = 0; i < size; i++) {
        model.nodes.push(node('Unsqueeze', ['attention_mask', 'logits'], [`reader ${i}`]));
      }
      return () => refusal(() => mapDecoder(model, whole.config));
    });
  });

  it('takes time in proportion to the inputs and outputs of one node', async () => {
    const whole = await load('llama-optimum');
    await expectEvenGrowth(10_000, (size) => {
      const names = Array.from({ length: size }, (_, i) => `part ${i}`);
      const nodes = [
        ...whole.model.nodes,
        node('Split', ['attention_mask'], names),
        node('Concat', names, ['joined']),
      ];
      return () => refusal(() => mapDecoder({ ...whole.model, nodes }, whole.config));
    });
  });

  it('is refused where it is a circle, or makes a tensor twice', async () => {
    const circle = await load('llama-optimum');
    circle.model.nodes.push(node('Identity', ['b'], ['a']), node('Identity', ['a'], ['b']));
    circle.model.nodes.push(node('Neg', ['a'], ['c']));
    expect(await refusal(() => mapDecoder(circle.model, circle.config))).toContain('its own copy');
    const own = await load('llama-optimum');
    own.model.nodes.push(node('Neg', ['a'], ['a']));
    expect(await refusal(() => mapDecoder(own.model, own.config))).toContain('circle');
    for (const name of ['logits', 'model.embed_tokens.weight']) {
      const twice = await load('llama-optimum');
      twice.model.nodes.push(node('Neg', ['attention_mask'], [name]));
      const message = await refusal(() => mapDecoder(twice.model, twice.config));
      expect(message).toContain(`there is another tensor "${name}"`);
    }
  });
});

/** More empty fields of one number than a file may have parts. */
const empty = (number: number): Fill => {
  const pairs = new Uint8Array(2 ** 20 + 2);
  for (let i = 0; i < pairs.length; i += 2) pairs[i] = 8 * number + WireType.LengthDelimited;
  return (writer) => writer.raw(pairs);
};

describe('a file of very many parts', () => {
  it.each<[string, Fill]>([
    ['empty nodes', empty(1)],
    ['empty metadata', empty(14)],
    ['empty inputs of a node', nested(1, empty(1))],
    ['empty attributes of a node', nested(1, empty(5))],
    [
      'values of an attribute',
      nested(1, nested(5, all(varint(20, 7), bytes(8, new Uint8Array(2 ** 20 + 1))))),
    ],
    ['dimensions', tensor('w', [], OnnxType.float32, bytes(1, new Uint8Array(2 ** 10)))],
    ['empty dimensions of an input', nested(11, nested(2, nested(1, nested(2, empty(1)))))],
    ['bytes of a name', nested(1, string(3, 'n'.repeat(5000)))],
  ])('such as %s is refused in a short sentence', async (_, graph) => {
    const file = modelBytes(graph);
    for (const [, read] of everyReader.filter(([name]) => name !== 'externalise')) {
      const message = await refusal(() => read(file));
      expect(message).toMatch(/more than|dimensions|a name of/);
      expect(message.length).toBeLessThan(300);
    }
    await refusal(() => externalise(memorySource(file), 'weights'));
  });

  it('takes time in proportion to its nodes and initializers', async () => {
    await expectEvenGrowth(1500, (size) => {
      const parts = Array.from({ length: size }, (_, i) =>
        all(
          operator('Add', [`t${i}`, `w${i}`], [`t${i + 1}`]),
          tensor(`w${i}`, [2], OnnxType.float32, bytes(9, new Uint8Array(8))),
        ),
      );
      const source = memorySource(modelBytes(...parts));
      return () => readOnnx(source);
    });
  });

  it('takes time in proportion to values that are typed', async () => {
    await expectEvenGrowth(200_000, (size) => {
      const values = new Uint8Array(size).fill(5);
      const file = modelBytes(tensor('w', [size], OnnxType.int64, bytes(7, values)));
      return () => readOnnx(memorySource(file));
    });
  });

  it('allocates nothing for values that its shape does not ask for', async () => {
    const values = new Uint8Array(40 * 2 ** 20).fill(1);
    const one = (writer: BinaryWriter, number: number, value: Uint8Array) =>
      writer.tag(number, WireType.LengthDelimited).bytes(value);
    const build = (dims: number) => {
      const inner = new BinaryWriter();
      inner.tag(1, WireType.Varint).int64(dims).tag(2, WireType.Varint).int32(OnnxType.int64);
      one(inner, 8, new TextEncoder().encode('w'));
      const tensorBytes = one(inner, 7, values).finish();
      const graph = one(new BinaryWriter(), 5, tensorBytes).finish();
      return new Uint8Array(one(new BinaryWriter(), 7, graph).finish());
    };
    for (const [dims, message] of [
      [3, '335544320 bytes of data; its shape needs 24'],
      [values.length, 'more than 256 MiB'],
    ] as const) {
      const file = build(dims);
      const before = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
      expect(await refusal(() => readOnnx(memorySource(file)))).toContain(message);
      const after = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
      expect(after - before).toBeLessThan(100 * 2 ** 20);
    }
  });
});

describe('sizes that a file only names', () => {
  const external = (name: string, dims: number[], dataType: number): Fill =>
    tensor(
      name,
      dims,
      dataType,
      nested(13, all(string(1, 'location'), string(2, 'data'))),
      varint(14, 1),
    );

  it('are refused before they are allocated, of tensors and of what they are filled up to', async () => {
    const files = {
      model: memorySource(new Uint8Array(8)),
      external: new Map<string, ByteSource>(),
    };
    files.external.set('data', memorySource(new Uint8Array(8)));
    const stored: TensorRef = {
      ...{ name: 'w', dims: [2 ** 50], dataType: 'uint8', byteLength: 2 ** 50 },
      storage: { kind: 'external', location: 'data', offset: 0 },
    };
    await expect(readTensor(stored, files)).rejects.toThrow(ByteSourceError);
    const padded = { ...stored, byteLength: 2 ** 51, storage: { kind: 'padded', stored } } as const;
    await expect(readTensor(padded, files)).rejects.toThrow('"w" ends at byte 1125899906842624');
  });

  it('are refused by widen, in initializers and in constants of the graph', async () => {
    const huge = external('w', [2 ** 40], OnnxType.float16);
    const constant = nested(
      1,
      all(
        string(4, 'Constant'),
        nested(
          5,
          all(string(1, 'value'), varint(20, 4), (writer) => {
            writer.tag(5, WireType.LengthDelimited).fork();
            varint(1, 2 ** 40)(writer);
            varint(2, OnnxType.float16)(writer);
            nested(13, all(string(1, 'location'), string(2, 'data')))(writer);
            varint(14, 1)(writer);
            writer.join();
          }),
        ),
      ),
    );
    for (const graph of [huge, constant]) {
      const data = new Map([['data', memorySource(new Uint8Array(8))]]);
      const files = { model: memorySource(modelBytes(graph)), external: data };
      expect(
        await refusal(() => widen(files, { tensorBytes: 2 ** 52, totalBytes: 2 ** 52 })),
      ).toMatch(/ends at byte|takes \d+ bytes/);
    }
  });

  it.each(['MatMulNBits', 'GatherBlockQuantized'])(
    'are refused as blocks of %s',
    async (opType) => {
      const family = await load('llama-shared-table');
      const found = family.model.nodes.filter((one) => one.opType === opType);
      for (const size of [2 ** 36, 2 ** 20, 1024]) {
        for (const one of found) one.attributes.set('block_size', { kind: 'int', value: size });
        const message = await refusal(() => mapDecoder(family.model, family.config));
        expect(message).toContain(`blocks of ${size}`);
      }
    },
  );

  it('are refused as the blocks of a last layer whose data are as long as that', async () => {
    const family = await load('llama-optimum');
    const down = family.model.nodes.find(({ name }) => name.includes('mlp/down_proj/MatMul'))!;
    const [, data, scales] = down.inputs.map((name) => family.model.initializers.get(name));
    const size = 2 ** 36;
    down.attributes.set('block_size', { kind: 'int', value: size });
    for (const [ref, dims] of [
      [data!, [64, 1, size / 2]],
      [scales!, [64, 1]],
    ] as const) {
      const byteLength = dims.reduce((product, dim) => product * dim, ref === data ? 1 : 4);
      const storage = { kind: 'external', location: 'data', offset: 0 } as const;
      family.model.initializers.set(ref.name, { ...ref, dims, byteLength, storage });
    }
    expect(await refusal(() => mapDecoder(family.model, family.config))).toContain(
      'blocks of 68719476736, of 96 inputs',
    );
  });

  it('are not believed of positions', async () => {
    const { model, config, files } = await load('llama-optimum');
    const promised = { ...config, max_position_embeddings: 16_777_216 };
    const { rotary } = mapDecoder(model, promised);
    expect(rotary.positions).toBe(131_072);
    const { cos } = await readRotary(rotary, files);
    expect(cos.length).toBe(131_072 * 8);
  });
});

describe('a damaged file', () => {
  it('with a value_info of three zero bytes is refused by its readers', async () => {
    const file = modelBytes(bytes(13, new Uint8Array(3)));
    const message = await refusal(() => widen(filesOf(file), ROOM));
    expect(message).toContain('This is not a readable ONNX file (illegal tag');
  });

  it.each(everyReader)('of random bytes is refused by %s', async (_, read) => {
    const random = seededRandom(7);
    for (let round = 0; round < 200; round++) {
      const length = Math.floor(random() * 200);
      const file = Uint8Array.from({ length }, () => Math.floor(random() * 256));
      // Also inside a node, a tensor, an input, an output, a value.
      const parts = [1, 5, 11, 12, 13][round % 5]!;
      for (const whole of [file, modelBytes(bytes(parts, file))]) {
        await refusal(() => read(whole));
      }
    }
  });

  it.each(['llama-optimum-f16', 'llama3-packed-f16', 'qwen3-packed', 'gemma2-optimum'])(
    'of %s with a byte changed anywhere is read or refused in words',
    async (name) => {
      const { bytes: whole, config, files } = await load(name);
      const random = seededRandom(11);
      let refused = 0;
      for (let round = 0; round < 60; round++) {
        const changed = whole.slice();
        for (let byte = 0; byte < 1 + (round % 4); byte++) {
          changed[Math.floor(random() * changed.length)] = Math.floor(random() * 256);
        }
        const model = memorySource(changed);
        const read = async () => mapDecoder(await readOnnx(model), config);
        for (const work of [
          read,
          () => externalise(model, 'weights'),
          () => widen({ ...files, model }, { tensorBytes: 2 ** 22, totalBytes: 2 ** 24 }),
        ]) {
          if ((await refusal(work)) !== 'was accepted') refused++;
        }
      }
      expect(refused).toBeGreaterThan(0);
    },
  );

  it('has attributes, shapes and values whose numbers end inside one', async () => {
    const half = Uint8Array.of(1, 0x80);
    for (const graph of [
      nested(1, nested(5, all(varint(20, 7), bytes(8, half)))),
      nested(1, nested(5, all(varint(20, 6), bytes(7, half)))),
      tensor('w', [], OnnxType.float32, bytes(1, half)),
      tensor('w', [2], OnnxType.int64, bytes(7, half)),
      tensor('w', [2], OnnxType.float64, bytes(10, half)),
      tensor('w', [1], OnnxType.int64, bytes(7, new Uint8Array(11).fill(0xff, 0, 10))),
    ]) {
      const message = await refusal(() => readOnnx(memorySource(modelBytes(graph))));
      expect(message).toMatch(/not a readable ONNX file/);
    }
  });
});
