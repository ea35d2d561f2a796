import { KnownError } from '../errors';

/** A model that is readable and cannot be used here, by its graph, configuration or place; says why. */
export class UnsupportedModelError extends KnownError {
  override readonly name = 'UnsupportedModelError';
  readonly errorCode = 'unsupported-model';
}

/** A tensor that is not what its reader asks for; says which. */
export class TensorError extends KnownError {
  override readonly name = 'TensorError';
  readonly errorCode = 'unsupported-model';
}
