/** No adapter or device: the message is a sentence for the person at the screen. */
export class GpuUnavailableError extends Error {
  override readonly name = 'GpuUnavailableError';
}

/** The device was lost (driver reset, memory, sleep). The worker must be respawned. */
export class GpuLostError extends Error {
  override readonly name = 'GpuLostError';
}

/** A shader or a binding was refused: a fault of ours, or a size beyond this device. */
export class GpuValidationError extends Error {
  override readonly name = 'GpuValidationError';
}
