export { type DecoderConfig, parseDecoderConfig } from './config';
export {
  type DecoderLayer,
  type DecoderModel,
  type DenseTensor,
  type EmbeddingTable,
  mapDecoder,
} from './decoder';
export { OnnxFormatError, UnsupportedModelError } from './errors';
export type { DenseLinear, Int4Linear, Linear } from './linear';
export { type OnnxModel, readOnnx } from './proto';
export { type ModelFiles, readFloats, readTensor, type TensorRef } from './tensor';
export {
  dequantise,
  type Int4Weights,
  readDense,
  readEmbedding,
  readInt4,
  readMatrix,
} from './weights';
