/** TensorProto.DataType: the numbers by which ONNX names types of elements. */
import { type ElementType, ELEMENT_TYPES } from '../decoder/tensor';
import { OnnxFormatError } from './errors';

/** Of the types that appear in decoder files. */
export const OnnxType = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
  uint4: 21,
  int4: 22,
} as const satisfies Record<ElementType, number>;

const TYPES: ReadonlyMap<number, ElementType> = new Map(
  ELEMENT_TYPES.map((type) => [OnnxType[type], type]),
);

/** The type of a tensor's elements. @throws OnnxFormatError on types without a size */
export function elementTypeOf(name: string, dataType: number): ElementType {
  const type = TYPES.get(dataType);
  if (type !== undefined) return type;
  throw new OnnxFormatError(`Tensor "${name}" has data type ${dataType}, which is not readable.`);
}
