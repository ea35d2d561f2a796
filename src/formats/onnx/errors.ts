import { KnownError } from '../errors';

/** The bytes are no readable ONNX file. */
export class OnnxFormatError extends KnownError {
  override readonly name = 'OnnxFormatError';
  readonly errorCode = 'unsupported-model';
}

/** A half-precision model that cannot be had in float32. */
export class WideningError extends KnownError {
  override readonly name = 'WideningError';
  readonly errorCode = 'unsupported-model';
}
