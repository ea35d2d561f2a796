/**
 * A half-precision model as float32: every float16 tensor, cast and type becomes float32, nothing
 * else changes. For runtimes whose device cannot compute in float16: the file of a q4f16 model turns
 * into what its q4 file is. The result is for memory alone; the file itself stays as it was hashed.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { WideningError } from './errors';
import { readOnnx } from './proto';
import { assertStored, type ElementType, type ModelFiles, type TensorRef } from '../decoder/tensor';
import { OnnxType } from './data-type';
import { readTensorProto } from './tensor-proto';
import { type Chunk, type Place, planChunks, widenedTensor } from './tensor-chunks';
import {
  assertDelimited,
  FieldReader,
  int,
  type LoadedField,
  scan,
  text,
  writeField,
} from './wire';

/** Tensors of at most this stay in the model: a runtime folds shapes and scalars while it loads. */
const INLINE_BYTES = 1024;

/** Of a tensor in an attribute, which stays in the model. */
const MAX_IN_PROTO = 64 * 2 ** 20;

/** Field numbers of onnx.proto. */
const MODEL = { graph: 7, functions: 25 };
const GRAPH = { node: 1, initializer: 5, valueInfo: [11, 12, 13], sparse: 15 };
const NODE = { name: 3, opType: 4, attribute: 5 };
const ATTRIBUTE = { name: 1, int: 3, tensor: 5 };
/** Graphs, lists of tensors, types and sparse tensors, which no decoder that we map has. */
const STRANGE_ATTRIBUTES = new Set([6, 10, 11, 14, 15, 22, 23]);
/** Attributes of other operators than Cast that name a type. */
const TYPE_NAMES = /^to$|type|precision/;
const VALUE_INFO = { type: 2, tensorType: 1, elementType: 1 };

export interface WideningLimits {
  /** Bytes of the largest tensor. */
  tensorBytes: number;
  /** Bytes of all large tensors together. */
  totalBytes: number;
}

export interface Widened {
  /** The model; its large tensors are references to the chunks. */
  proto: Uint8Array<ArrayBuffer>;
  /** All large tensors, float16 ones widened; by location. */
  chunks: { path: string; data: Uint8Array<ArrayBuffer> }[];
}

/**
 * Reads each tensor once, in pieces: beside the result it takes a few megabytes. The caller knows
 * every operator ({@link mapDecoder}); what is checked here is where types may hide.
 * @throws WideningError naming what cannot be widened, or what is too large; OnnxFormatError;
 *   ByteSourceError where data is missing
 */
export async function widen(
  files: ModelFiles,
  { tensorBytes, totalBytes }: WideningLimits,
): Promise<Widened> {
  const { initializers } = await readOnnx(files.model);
  const refs = [...initializers.values()];
  for (const ref of refs) assertStored(ref, files);
  const large = refs.filter((ref) => bytesAfter(ref) > INLINE_BYTES);
  let total = 0;
  for (const ref of large) {
    const bytes = bytesAfter(ref);
    total += bytes;
    if (bytes > tensorBytes) {
      throw new WideningError(
        `"${ref.name}" would take ${bytes} bytes of ${tensorBytes} there are`,
      );
    }
  }
  if (total > totalBytes) {
    throw new WideningError(`it would take ${total} bytes of ${totalBytes} that are safe`);
  }
  const { places, chunks } = planChunks(large, bytesAfter);
  const proto = await rewriteModel(files, initializers, places);
  const widened: Widened = { proto, chunks: [] };
  for (const chunk of chunks) widened.chunks.push(await filled(chunk, files));
  return widened;
}

async function filled({ location, size, tensors }: Chunk, files: ModelFiles) {
  const data = allocate(size);
  for (const { ref, offset } of tensors) {
    for await (const piece of widenedTensor(ref, files)) {
      data.set(piece.bytes, offset + piece.offset);
    }
  }
  return { path: location, data };
}

function allocate(bytes: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (cause) {
    throw new WideningError(`this tab has no room for ${bytes} bytes`, { cause });
  }
}

function bytesAfter({ dataType, byteLength }: TensorRef): number {
  return dataType === 'float16' ? 2 * byteLength : byteLength;
}

async function rewriteModel(
  files: ModelFiles,
  initializers: ReadonlyMap<string, TensorRef>,
  places: ReadonlyMap<TensorRef, Place>,
): Promise<Uint8Array<ArrayBuffer>> {
  const file = new FieldReader(files.model);
  const model = new BinaryWriter();
  for await (const field of file.fields(0, file.size)) {
    if (field.number === MODEL.functions) {
      throw new WideningError('it defines operators of its own');
    }
    if (field.number !== MODEL.graph) {
      writeField(model, await file.load(field));
      continue;
    }
    assertDelimited(field);
    const graph = new BinaryWriter();
    for await (const part of file.fields(field.offset, field.offset + field.length)) {
      if (part.number === GRAPH.initializer) continue;
      if (part.number === GRAPH.sparse) throw new WideningError('it has sparse tensors');
      const loaded = await file.load(part);
      if (part.number === GRAPH.node) await writeNode(graph, loaded, files);
      else if (GRAPH.valueInfo.includes(part.number)) writeValueInfo(graph, loaded);
      else writeField(graph, loaded);
    }
    for (const ref of initializers.values()) {
      graph.tag(GRAPH.initializer, WireType.LengthDelimited);
      graph.bytes(await tensorMessage(ref, files, places.get(ref)));
    }
    model.tag(MODEL.graph, WireType.LengthDelimited).bytes(graph.finish());
  }
  return new Uint8Array(model.finish());
}

/** A TensorProto with its values, or with the place where they lie. */
async function tensorMessage(
  ref: TensorRef,
  files: ModelFiles,
  place?: Place,
): Promise<Uint8Array> {
  const tensor = new BinaryWriter();
  for (const dim of ref.dims) tensor.tag(1, WireType.Varint).int64(dim);
  tensor.tag(2, WireType.Varint).int32(typeAfter(ref.dataType));
  tensor.tag(8, WireType.LengthDelimited).string(ref.name);
  if (!place) {
    assertStored(ref, files);
    if (bytesAfter(ref) > MAX_IN_PROTO) {
      throw new WideningError(
        `a constant "${ref.name}" in its graph takes ${bytesAfter(ref)} bytes`,
      );
    }
    const values = new Uint8Array(bytesAfter(ref));
    for await (const { offset, bytes } of widenedTensor(ref, files)) values.set(bytes, offset);
    return tensor.tag(9, WireType.LengthDelimited).bytes(values).finish();
  }
  const { location, offset } = place;
  const entries = { location, offset: String(offset), length: String(bytesAfter(ref)) };
  for (const [key, value] of Object.entries(entries)) {
    const entry = new BinaryWriter();
    entry.tag(1, WireType.LengthDelimited).string(key);
    entry.tag(2, WireType.LengthDelimited).string(value);
    tensor.tag(13, WireType.LengthDelimited).bytes(entry.finish());
  }
  return tensor.tag(14, WireType.Varint).int32(1).finish();
}

function typeAfter(dataType: ElementType): number {
  return OnnxType[dataType === 'float16' ? 'float32' : dataType];
}

async function writeNode(to: BinaryWriter, node: LoadedField, files: ModelFiles): Promise<void> {
  let opType = '';
  let name = '';
  for (const field of scan(node)) {
    if (field.number === NODE.name) name = text(field);
    if (field.number === NODE.opType) opType = text(field);
  }
  const written = new BinaryWriter();
  for (const field of scan(node)) {
    if (field.number !== NODE.attribute) writeField(written, field);
    else await writeAttribute(written, field, { opType, name }, files);
  }
  to.tag(GRAPH.node, WireType.LengthDelimited).bytes(written.finish());
}

async function writeAttribute(
  to: BinaryWriter,
  attribute: LoadedField,
  { opType, name: node }: { opType: string; name: string },
  files: ModelFiles,
): Promise<void> {
  const parts = [...scan(attribute)];
  const named = parts.find(({ number }) => number === ATTRIBUTE.name);
  const name = named ? text(named) : '';
  const refuse = () =>
    new WideningError(`its node "${node}" (${opType}) keeps a type in "${name}"`);
  const written = new BinaryWriter();
  for (const field of parts) {
    if (STRANGE_ATTRIBUTES.has(field.number)) throw refuse();
    const isHalf = field.number === ATTRIBUTE.int && int(field) === OnnxType.float16;
    if (field.number === ATTRIBUTE.tensor) {
      const message = await tensorMessage(readTensorProto(field), files);
      written.tag(ATTRIBUTE.tensor, WireType.LengthDelimited).bytes(message);
    } else if (isHalf && opType === 'Cast' && name === 'to') {
      written.tag(ATTRIBUTE.int, WireType.Varint).int64(OnnxType.float32);
    } else if (isHalf && TYPE_NAMES.test(name)) {
      throw refuse();
    } else writeField(written, field);
  }
  to.tag(NODE.attribute, WireType.LengthDelimited).bytes(written.finish());
}

function writeValueInfo(to: BinaryWriter, info: LoadedField): void {
  const { type, tensorType, elementType } = VALUE_INFO;
  to.tag(info.number, WireType.LengthDelimited);
  to.bytes(
    within(info, type, (typeProto) =>
      within(typeProto, tensorType, (tensor) =>
        within(tensor, elementType, (field) => {
          const { float16, float32 } = OnnxType;
          const number = int(field) === float16 ? float32 : int(field);
          return new BinaryWriter().int32(number).finish();
        }),
      ),
    ),
  );
}

/** The message, with the value of each field `number` written anew. */
function within(
  message: LoadedField,
  number: number,
  write: (field: LoadedField) => Uint8Array,
): Uint8Array {
  const written = new BinaryWriter();
  for (const field of scan(message)) {
    writeField(written, field.number === number ? { ...field, bytes: write(field) } : field);
  }
  return written.finish();
}
