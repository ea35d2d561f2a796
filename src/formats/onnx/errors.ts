/** The bytes are no readable ONNX file. */
export class OnnxFormatError extends Error {
  override readonly name = 'OnnxFormatError';
}

/** A valid ONNX file whose graph or configuration this app cannot train on; says which part. */
export class UnsupportedModelError extends Error {
  override readonly name = 'UnsupportedModelError';
}

/** A half-precision model that cannot be had in float32. */
export class WideningError extends Error {
  override readonly name = 'WideningError';
}
