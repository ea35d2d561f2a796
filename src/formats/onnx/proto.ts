/**
 * Reads the parts of an ONNX ModelProto that a trainer needs (onnx.proto, IR versions 3 to 12).
 * The file is walked through a {@link ByteSource}: weights are located, never loaded, so that a
 * gigabyte file costs a few small reads. No size found in the file is allocated before it is known
 * to lie inside the file.
 */
import type { ByteSource } from '../byte-source';
import { OnnxFormatError } from './errors';
import type { TensorRef } from '../decoder/tensor';
import { readEntry, readInitializer, readTensorProto } from './tensor-proto';
import {
  append,
  assertDelimited,
  type Field,
  FieldReader,
  int,
  type LoadedField,
  name,
  numbersOf,
  scan,
  text,
  unreadable,
} from './wire';

export type OnnxAttribute =
  | { kind: 'float'; value: number }
  | { kind: 'int'; value: number }
  | { kind: 'string'; value: string }
  | { kind: 'floats'; value: number[] }
  | { kind: 'ints'; value: number[] }
  | { kind: 'strings'; value: string[] }
  | { kind: 'tensor'; value: TensorRef }
  /** Graphs, types and sparse tensors, which no decoder needs. */
  | { kind: 'other' };

export interface OnnxNode {
  name: string;
  opType: string;
  /** '' is the standard operator set. */
  domain: string;
  /** Tensor names; '' stands for an absent optional input. */
  inputs: string[];
  outputs: string[];
  attributes: Map<string, OnnxAttribute>;
}

export interface OnnxValueInfo {
  name: string;
  /** TensorProto.DataType number; 0 where it is no tensor. */
  dataType: number;
  /** Numbers, or the names of free dimensions. */
  shape: (number | string)[];
}

export interface OnnxModel {
  irVersion: number;
  producerName: string;
  producerVersion: string;
  /** Version of each operator set by domain. */
  opsets: Map<string, number>;
  metadata: Map<string, string>;
  nodes: OnnxNode[];
  initializers: Map<string, TensorRef>;
  inputs: OnnxValueInfo[];
  outputs: OnnxValueInfo[];
}

/** Eighty layers of primitive operators have 12,000. */
const MAX_NODES = 2 ** 16;

/** Parses the model's structure. Throws {@link OnnxFormatError}. */
export async function readOnnx(source: ByteSource): Promise<OnnxModel> {
  const file = new FieldReader(source);
  const model: OnnxModel = {
    irVersion: 0,
    producerName: '',
    producerVersion: '',
    opsets: new Map(),
    metadata: new Map(),
    nodes: [],
    initializers: new Map(),
    inputs: [],
    outputs: [],
  };
  let graphs = 0;
  for await (const field of file.fields(0, file.size)) {
    switch (field.number) {
      case 1:
        model.irVersion = int(await file.load(field));
        break;
      case 2:
        model.producerName = name(await file.load(field));
        break;
      case 3:
        model.producerVersion = name(await file.load(field));
        break;
      case 7:
        graphs++;
        await readGraph(file, field, model);
        break;
      case 8: {
        const [domain, version] = readOpset(await file.load(field));
        model.opsets.set(domain, version);
        break;
      }
      case 14: {
        const [key, value] = readEntry(await file.load(field));
        model.metadata.set(key, value);
        break;
      }
    }
  }
  if (graphs !== 1) {
    throw unreadable(graphs === 0 ? 'it has no graph' : `it has ${graphs} graphs`);
  }
  return model;
}

async function readGraph(file: FieldReader, graph: Field, model: OnnxModel): Promise<void> {
  assertDelimited(graph);
  for await (const field of file.fields(graph.offset, graph.offset + graph.length)) {
    switch (field.number) {
      case 1:
        if (model.nodes.length === MAX_NODES) {
          throw unreadable(`it has more than ${MAX_NODES} nodes, which no decoder has`);
        }
        model.nodes.push(readNode(await file.load(field)));
        break;
      case 5: {
        const tensor = await readInitializer(file, field);
        if (model.initializers.has(tensor.name)) {
          throw new OnnxFormatError(`The initializer "${tensor.name}" is there twice.`);
        }
        model.initializers.set(tensor.name, tensor);
        break;
      }
      case 11:
        model.inputs.push(readValueInfo(await file.load(field)));
        break;
      case 12:
        model.outputs.push(readValueInfo(await file.load(field)));
        break;
    }
  }
}

function readNode(message: LoadedField): OnnxNode {
  const node: OnnxNode = {
    name: '',
    opType: '',
    domain: '',
    inputs: [],
    outputs: [],
    attributes: new Map(),
  };
  for (const field of scan(message)) {
    if (field.number === 1) node.inputs.push(name(field));
    else if (field.number === 2) node.outputs.push(name(field));
    else if (field.number === 3) node.name = name(field);
    else if (field.number === 4) node.opType = name(field);
    else if (field.number === 5) node.attributes.set(...readAttribute(field));
    else if (field.number === 7) node.domain = name(field);
  }
  // 'ai.onnx' is another spelling of the standard operator set.
  if (node.domain === 'ai.onnx') node.domain = '';
  return node;
}

function readAttribute(message: LoadedField): [string, OnnxAttribute] {
  let key = '';
  let type = 0;
  let float = 0;
  let integer = 0;
  let string = '';
  let tensor: TensorRef | undefined;
  const floats: number[] = [];
  const integers: number[] = [];
  const strings: string[] = [];
  for (const field of scan(message)) {
    if (field.number === 1) key = name(field);
    else if (field.number === 2) float = numbersOf(field, 'float')[0] ?? 0;
    else if (field.number === 3) integer = int(field);
    else if (field.number === 4) string = text(field);
    else if (field.number === 5) tensor = readTensorProto(field);
    else if (field.number === 7) append(floats, numbersOf(field, 'float'));
    else if (field.number === 8) append(integers, numbersOf(field, 'varint'));
    else if (field.number === 9) strings.push(text(field));
    else if (field.number === 20) type = int(field);
  }
  const values: Record<number, OnnxAttribute | undefined> = {
    1: { kind: 'float', value: float },
    2: { kind: 'int', value: integer },
    3: { kind: 'string', value: string },
    4: tensor && { kind: 'tensor', value: tensor },
    6: { kind: 'floats', value: floats },
    7: { kind: 'ints', value: integers },
    8: { kind: 'strings', value: strings },
  };
  return [key, values[type] ?? { kind: 'other' }];
}

function readValueInfo(message: LoadedField): OnnxValueInfo {
  const info: OnnxValueInfo = { name: '', dataType: 0, shape: [] };
  for (const field of scan(message)) {
    if (field.number === 1) info.name = name(field);
    if (field.number !== 2) continue;
    for (const type of scan(field)) {
      if (type.number !== 1) continue;
      for (const tensor of scan(type)) {
        if (tensor.number === 1) info.dataType = int(tensor);
        if (tensor.number !== 2) continue;
        for (const dim of scan(tensor)) info.shape.push(readDimension(dim));
      }
    }
  }
  return info;
}

function readDimension(message: LoadedField): number | string {
  let value: number | string = '';
  for (const field of scan(message)) {
    if (field.number === 1) value = int(field);
    else if (field.number === 2) value = name(field);
  }
  return value;
}

function readOpset(message: LoadedField): [string, number] {
  let domain = '';
  let version = 0;
  for (const field of scan(message)) {
    if (field.number === 1) domain = name(field);
    else if (field.number === 2) version = int(field);
  }
  return [domain, version];
}
