import { KnownError } from '../../formats/errors';

/** No adapter or device: the message is a sentence for the person at the screen. */
export class GpuUnavailableError extends KnownError {
  override readonly name = 'GpuUnavailableError';
  readonly errorCode = 'no-webgpu';
}

/** The device was lost (driver reset, memory, sleep). The worker must be respawned. */
export class GpuLostError extends KnownError {
  override readonly name = 'GpuLostError';
  readonly errorCode = 'gpu-lost';
  override readonly broken = true;
}

/** A shader or a binding was refused by the device: a fault of ours. */
export class GpuValidationError extends KnownError {
  override readonly name = 'GpuValidationError';
  readonly errorCode = 'internal';
  override readonly broken = true;
}

/** The device ran out of memory: some buffer is not there. */
export class GpuMemoryError extends KnownError {
  override readonly name = 'GpuMemoryError';
  readonly errorCode = 'memory';
  override readonly broken = true;
}

/** A buffer larger than this device binds; nothing was allocated. */
export class GpuSizeError extends KnownError {
  override readonly name = 'GpuSizeError';
  readonly errorCode = 'memory';
}
