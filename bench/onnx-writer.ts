/** Writes the parts of an ONNX ModelProto that a decoder file has (onnx.proto, IR version 10). */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { elementCount } from '../src/formats/decoder/tensor';

/** Where an initialiser lies in the external data file. */
export interface ExternalTensor {
  name: string;
  dims: readonly number[];
  /** A number of formats/onnx/tensor's OnnxType. */
  dataType: number;
  offset: number;
  length: number;
}

export interface NodeSpec {
  op: string;
  domain?: string;
  name: string;
  inputs: readonly string[];
  outputs: readonly string[];
  ints?: Readonly<Record<string, number>>;
  floats?: Readonly<Record<string, number>>;
  /** Attribute `value` of a Constant: an int64 scalar, or a vector. */
  constant?: number | readonly number[];
}

export interface ValueSpec {
  name: string;
  dataType: number;
  shape: readonly (number | string)[];
}

export interface GraphSpec {
  nodes: readonly NodeSpec[];
  initializers: readonly ExternalTensor[];
  /** Name of the external data file. */
  location: string;
  inputs: readonly ValueSpec[];
  outputs: readonly ValueSpec[];
}

const FLOAT = 1;
const INT = 2;
const TENSOR = 4;
const INT64 = 7;

function message(writer: BinaryWriter, field: number, write: (inner: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write(writer);
  writer.join();
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value);
}

function integer(writer: BinaryWriter, field: number, value: number): void {
  writer.tag(field, WireType.Varint).int64(value);
}

function writeNode(writer: BinaryWriter, node: NodeSpec): void {
  for (const input of node.inputs) text(writer, 1, input);
  for (const output of node.outputs) text(writer, 2, output);
  text(writer, 3, node.name);
  text(writer, 4, node.op);
  const attribute = (name: string, type: number, write: () => void) =>
    message(writer, 5, () => {
      text(writer, 1, name);
      write();
      integer(writer, 20, type);
    });
  for (const [name, value] of Object.entries(node.ints ?? {})) {
    attribute(name, INT, () => integer(writer, 3, value));
  }
  for (const [name, value] of Object.entries(node.floats ?? {})) {
    attribute(name, FLOAT, () => writer.tag(2, WireType.Bit32).float(value));
  }
  const { constant } = node;
  if (constant !== undefined) {
    attribute('value', TENSOR, () =>
      message(writer, 5, () => {
        if (typeof constant !== 'number') integer(writer, 1, constant.length);
        integer(writer, 2, INT64);
        const raw = new Uint8Array(BigInt64Array.from([constant].flat(), BigInt).buffer);
        writer.tag(9, WireType.LengthDelimited).bytes(raw);
      }),
    );
  }
  if (node.domain) text(writer, 7, node.domain);
}

function writeTensor(writer: BinaryWriter, tensor: ExternalTensor, location: string): void {
  const { name, dims, dataType, offset, length } = tensor;
  if (elementCount(dims) === 0) throw new RangeError(`Tensor ${name} is empty.`);
  for (const dim of dims) integer(writer, 1, dim);
  integer(writer, 2, dataType);
  text(writer, 8, name);
  for (const [key, value] of Object.entries({ location, offset, length })) {
    message(writer, 13, () => {
      text(writer, 1, key);
      text(writer, 2, String(value));
    });
  }
  integer(writer, 14, 1);
}

function writeValue(writer: BinaryWriter, { name, dataType, shape }: ValueSpec): void {
  text(writer, 1, name);
  message(writer, 2, () =>
    message(writer, 1, () => {
      integer(writer, 1, dataType);
      message(writer, 2, () => {
        for (const dim of shape) {
          message(writer, 1, () => {
            if (typeof dim === 'number') integer(writer, 1, dim);
            else text(writer, 2, dim);
          });
        }
      });
    }),
  );
}

/** The model file's bytes; its weights are all in `location`. */
export function writeOnnx(graph: GraphSpec): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  integer(writer, 1, 10);
  text(writer, 2, 'retort-bench');
  message(writer, 7, () => {
    for (const node of graph.nodes) message(writer, 1, () => writeNode(writer, node));
    text(writer, 2, 'toy');
    for (const tensor of graph.initializers) {
      message(writer, 5, () => writeTensor(writer, tensor, graph.location));
    }
    for (const value of graph.inputs) message(writer, 11, () => writeValue(writer, value));
    for (const value of graph.outputs) message(writer, 12, () => writeValue(writer, value));
  });
  for (const [domain, version] of [
    ['', 21],
    ['com.microsoft', 1],
  ] as const) {
    message(writer, 8, () => {
      text(writer, 1, domain);
      integer(writer, 2, version);
    });
  }
  return new Uint8Array(writer.finish());
}
