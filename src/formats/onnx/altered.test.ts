/** Every family, written differently: it works as before, or the error names a node. */
import { describe, expect, it } from 'vitest';
import { ByteSourceError, memorySource } from '../byte-source';
import { seededRandom } from '../random.testing';
import {
  halveScales,
  inline,
  insertBehind,
  isQuantised,
  quantisedNodes,
  renameInitializers,
  replace,
  shuffleInitializers,
  shuffleNodes,
  spellDomain,
  stored,
  typeFields,
  widenBlocks,
} from './altered.testing';
import { mapDecoder } from './decoder';
import { referenceLogits } from './decoder.reference';
import { UnsupportedModelError } from '../decoder/errors';
import { OnnxFormatError } from './errors';
import { type Family, load, logitsError, NAMES } from './families.testing';
import { type OnnxNode, readOnnx } from './proto';
import { elementCount, readTensor } from '../decoder/tensor';

/** Message of the refusal, or null where the model is mapped. */
function refusal({ model, config }: Family): string | null {
  try {
    mapDecoder(model, config);
    return null;
  } catch (error) {
    if (!(error instanceof UnsupportedModelError)) throw error;
    return error.message;
  }
}

/** Every n-th of a list: every family has hundreds of nodes, and all of them differ in their place. */
function sample<T>(list: readonly T[], count: number): T[] {
  const step = Math.max(1, Math.floor(list.length / count));
  return list.filter((_, i) => i % step === 0);
}

const readByGather = ({ model }: Family, tensor: string) =>
  model.nodes.some(({ opType, inputs }) => opType === 'Gather' && inputs[0] === tensor);

const setBlock = (node: OnnxNode, value: number) =>
  node.attributes.set('block_size', { kind: 'int', value });

describe.each(NAMES)('%s works as before', (name) => {
  it.each<[string, (family: Family) => void | Promise<void>]>([
    ['with renamed nodes', ({ model }) => model.nodes.forEach((node, i) => (node.name = `n${i}`))],
    ['without names of nodes', ({ model }) => model.nodes.forEach((node) => (node.name = ''))],
    ['with renamed initializers', renameInitializers],
    ['with initializers in another order', (f) => shuffleInitializers(f, seededRandom(3))],
    ['with nodes in another order', (f) => shuffleNodes(f, seededRandom(4))],
    ['with nodes backwards', ({ model }) => void model.nodes.reverse()],
    [
      'with Identity nodes everywhere',
      (family) => {
        const { nodes, initializers } = family.model;
        const tensors = [...nodes.flatMap((node) => node.outputs), ...initializers.keys()];
        for (const [i, tensor] of tensors.entries()) {
          if (tensor === '' || family.model.outputs.some((output) => output.name === tensor))
            continue;
          const node = insertBehind(family, tensor, 'Identity');
          node.outputs = [`copy ${i}`];
          for (const reader of nodes) {
            reader.inputs = reader.inputs.map((input) =>
              input === '/inserted/output_0' ? `copy ${i}` : input,
            );
          }
        }
      },
    ],
    [
      'with scales in one dimension or two',
      (family) => {
        for (const node of quantisedNodes(family)) {
          const ref = stored(family, node, 2);
          // A Gather takes rows: to it, one dimension means something else.
          if (readByGather(family, ref.name)) continue;
          const rows = stored(family, node, isQuantised(node) ? 1 : 0).dims[0]!;
          const count = elementCount(ref.dims);
          replace(family, ref, { dims: ref.dims.length === 1 ? [rows, count / rows] : [count] });
        }
      },
    ],
    [
      'with zero points of 8 where there were none',
      (family) => {
        for (const node of quantisedNodes(family)) {
          if (node.inputs[3]) continue;
          const rows = stored(family, node, isQuantised(node) ? 1 : 0).dims[0]!;
          const blocks = elementCount(stored(family, node, 2).dims) / rows;
          const packed = Math.ceil(blocks / 2);
          const zeros = new Uint8Array(rows * packed).fill(0x88);
          const key = `${node.name} eights`;
          family.model.initializers.set(key, inline(key, [rows, packed], 'uint8', zeros));
          node.inputs[3] = key;
        }
      },
    ],
    [
      'with a bias at input 5',
      (family) => {
        const [node] = family.model.nodes.filter((one) =>
          one.name.includes('layers.0/mlp/up_proj'),
        );
        const rows = stored(family, node!, 1).dims[0]!;
        const bias = inline('bias', [rows], 'float32', new Float32Array(rows));
        family.model.initializers.set('bias', bias);
        node!.inputs = [0, 1, 2, 3].map((i) => node!.inputs[i] ?? '').concat('', 'bias');
      },
    ],
    [
      'with other versions of operator sets',
      ({ model }) => {
        model.opsets.set('', 21);
        model.opsets.set('com.microsoft', 2);
      },
    ],
  ])('%s', async (_, change) => {
    const family = await load(name);
    await change(family);
    expect(await logitsError(family)).toBeLessThan(1e-5);
  });

  it('with scales of half precision', async () => {
    const family = await load(name);
    await halveScales(family);
    expect(await logitsError(family)).toBeLessThan(5e-3);
  });

  it.each([
    ['with typed fields instead of raw data', typeFields],
    ['with the long name of the standard domain', spellDomain],
  ])('%s', async (_, rewrite) => {
    const family = await load(name);
    const bytes = rewrite(family.bytes);
    // Where all data is external, there is no raw data.
    const same = rewrite === typeFields && family.files.external.size > 0;
    expect(bytes.length === family.bytes.length).toBe(same);
    family.files = { ...family.files, model: memorySource(bytes) };
    family.model = await readOnnx(family.files.model);
    expect(await logitsError(family)).toBeLessThan(1e-5);
  });
});

// The first has blocks of 64 already; the last has its blocks in the shapes of operators, too.
const OTHER_BLOCKS = ['llama-ragged-blocks', 'llama-unpacked-table'];

it.each(NAMES.filter((name) => !OTHER_BLOCKS.includes(name)))(
  '%s means the same in blocks of 32 and of 64',
  async (name) => {
    const [narrow, wide] = [await load(name), await load(name)];
    await widenBlocks(narrow, wide);
    const expected = await referenceLogits(
      mapDecoder(narrow.model, narrow.config),
      narrow.files,
      narrow.ids,
    );
    // The MLP's 96 inputs fill one block and a half: what stands in the rest has no effect.
    wide.logits = Float32Array.from(expected);
    expect(await logitsError(wide)).toBeLessThan(1e-6);
  },
);

describe.each(NAMES)('%s names the node', (name) => {
  const change = (
    edit: (node: OnnxNode, family: Family) => void,
    part = 'layers.1/mlp/down_proj',
  ) =>
    load(name).then((family) => {
      const node = family.model.nodes.find((one) => one.name.includes(part) && isQuantised(one))!;
      edit(node, family);
      return { node, message: refusal(family) };
    });

  it.each<[string, (node: OnnxNode, family: Family) => void]>([
    ['in blocks of 16', (node) => setBlock(node, 16)],
    ['in blocks that its scales do not fit', (node) => setBlock(node, 128)],
    ['in blocks of no power of two', (node) => setBlock(node, 48)],
    ['with 8 bits', (node) => node.attributes.set('bits', { kind: 'int', value: 8 })],
    ['with another K', (node) => node.attributes.set('K', { kind: 'int', value: 64 })],
    ['with another N', (node) => node.attributes.set('N', { kind: 'int', value: 32 })],
    ['with its inputs reordered', (node) => (node.inputs = inputs(node, 4, node.inputs[2]!))],
    ['of another domain', (node) => (node.domain = 'com.example')],
    ['of an unknown operator', (node) => (node.opType = 'MatMul2Bits')],
    [
      'with float zero points',
      (node, family) => {
        const scales = stored(family, node, 2);
        family.model.initializers.set('zeros', { ...scales, name: 'zeros' });
        node.inputs = inputs(node, 3, 'zeros');
      },
    ],
    ['with zero points that are not there', (node) => (node.inputs = inputs(node, 3, 'nowhere'))],
    [
      'with two biases',
      (node, { model }) => {
        const rows = 64;
        const bias = inline('bias', [rows], 'float32', new Float32Array(rows));
        model.initializers.set('bias', bias);
        node.inputs = inputs(node, 5, 'bias');
        const target = node.outputs[0]!;
        node.outputs = ['before bias'];
        model.nodes.push({
          ...{ name: `${node.name}/Add`, opType: 'Add', domain: '', attributes: new Map() },
          ...{ inputs: ['before bias', 'bias'], outputs: [target] },
        });
      },
    ],
    ...[1, 2].flatMap((index): [string, (node: OnnxNode, family: Family) => void][] => [
      [
        `with one row too few in input ${index}`,
        (node, family) => {
          const ref = stored(family, node, index);
          const [rows = 0, ...rest] = ref.dims;
          const flat = rest.length === 0 && index === 2;
          replace(family, ref, { dims: [flat ? rows - 3 : rows - 1, ...rest] });
        },
      ],
      [
        `with input ${index} turned`,
        (node, family) => {
          const ref = stored(family, node, index);
          replace(family, ref, { dims: [1, elementCount(ref.dims)] });
        },
      ],
      [
        `with another type in input ${index}`,
        (node, family) => replace(family, stored(family, node, index), { dataType: 'int8' }),
      ],
      [
        `without the tensor of input ${index}`,
        (node, family) => family.model.initializers.delete(node.inputs[index]!),
      ],
    ]),
  ])('%s', async (_, edit) => {
    const { node, message } = await change(edit);
    expect(message).toContain(node.name);
  });

  it('that is unknown, wherever it stands', async () => {
    const family = await load(name);
    for (const node of sample(family.model.nodes, 24)) {
      if (node.opType === 'Constant') continue;
      const { opType } = node;
      node.opType = 'Mystery';
      const message = refusal(family);
      expect(message, `${node.name} (${opType})`).not.toBeNull();
      expect(namesAround(family, node, message!), `${node.name}: ${message}`).toBe(true);
      node.opType = opType;
    }
  });

  it('that is not known in between, wherever it stands', async () => {
    const whole = await load(name);
    const tensors = whole.model.nodes.flatMap((node) => node.outputs).filter(Boolean);
    for (const opType of ['Cast', 'Relu']) {
      for (const tensor of sample(tensors, 12)) {
        const family = await load(name);
        if (!family.model.nodes.some((node) => node.inputs.includes(tensor))) continue;
        const node = insertBehind(family, tensor, opType);
        const message = refusal(family);
        const where = `${opType} behind ${tensor}: ${message}`;
        if (message === null) {
          // A cast to float32 of what is float32 changes nothing; integers are not that tame.
          expect(opType, where).toBe('Cast');
          expect(await logitsError(family), where).toBeLessThan(1e-5);
        } else expect(namesAround(family, node, message), where).toBe(true);
      }
    }
  });

  it('behind one that is missing', async () => {
    const whole = await load(name);
    for (const index of sample([...whole.model.nodes.keys()], 24)) {
      const family = await load(name);
      const [missing] = family.model.nodes.splice(index, 1);
      const message = refusal(family);
      // Nobody misses an unread constant, or a node whose output nobody reads.
      const read = family.model.nodes.some((node) =>
        node.inputs.some((input) => missing!.outputs.includes(input)),
      );
      if (message === null) expect(read, missing!.name).toBe(false);
      else {
        const named = namesAround(family, missing!, message) || namesLayer(missing!, message);
        expect(named, `${missing!.name}: ${message}`).toBe(true);
      }
    }
  });
});

/** A node's inputs with one more at `index`, empty ones between. */
function inputs(node: OnnxNode, index: number, name: string): string[] {
  const list = Array.from({ length: Math.max(index + 1, node.inputs.length) }, (_, i) =>
    i === index ? name : (node.inputs[i] ?? ''),
  );
  return list;
}

/** Does a message name the node, or one that at most three others lie between, or such a tensor? */
function namesAround({ model }: Family, node: OnnxNode, message: string): boolean {
  const ends = (one: OnnxNode) => [...one.inputs, ...one.outputs].filter(Boolean);
  const named = new Set<string>([node.name]);
  const tensors = new Set(ends(node));
  for (let hop = 0; hop < 4; hop++) {
    const reached = model.nodes.filter((one) => ends(one).some((tensor) => tensors.has(tensor)));
    for (const one of reached) {
      named.add(one.name);
      for (const tensor of ends(one)) tensors.add(tensor);
    }
  }
  return [...named, ...tensors].some((one) => one !== '' && message.includes(`"${one}"`));
}

/** Does a message say which layer the node is in? */
function namesLayer({ name }: OnnxNode, message: string): boolean {
  const layer = /layers\.(\d+)\//.exec(name)?.[1];
  return layer !== undefined && message.includes(`layer ${layer}`);
}

describe('external data', () => {
  const NAME = 'llama3-packed-f16';

  it('that ends too early is named with its tensor', async () => {
    const { model, files, config } = await load(NAME);
    const whole = [...files.external];
    const [file, source] = whole[1]!;
    const bytes = await source.read(0, source.size - 1);
    const external = new Map([...whole, [file, memorySource(bytes)] as const]);
    const decoder = mapDecoder(model, config);
    const last = [...model.initializers.values()]
      .filter(({ storage }) => storage.kind === 'external' && storage.location === file)
      .at(-1)!;
    await expect(readTensor(last, { ...files, external })).rejects.toThrow(ByteSourceError);
    const run = referenceLogits(decoder, { ...files, external }, [1, 2]);
    await expect(run).rejects.toThrow(`"${last.name}" ends at byte`);
    await expect(run).rejects.toThrow(`"${file}"`);
  });

  it('that is missing is named with its tensor', async () => {
    const { model, files, config } = await load(NAME);
    const external = new Map([...files.external].slice(1));
    const run = referenceLogits(mapDecoder(model, config), { ...files, external }, [1, 2]);
    await expect(run).rejects.toThrow('"model_q4f16.onnx_data", which is missing');
  });
});

it.each(NAMES)('%s cut off is no ONNX file', async (name) => {
  const { bytes } = await load(name);
  for (const share of [0.1, 0.5, 0.9]) {
    const cut = bytes.subarray(0, Math.floor(bytes.length * share));
    await expect(readOnnx(memorySource(cut))).rejects.toThrow(OnnxFormatError);
  }
});
