/** Thrown values as codes and sentences for the page. */
import type { ErrorCode, WireError } from './protocol';
import { WorkerError } from './requests';

/** Error class names of the lower rooms and the code that each becomes. */
const CODES: Readonly<Record<string, ErrorCode>> = {
  GpuUnavailableError: 'no-webgpu',
  GpuLostError: 'gpu-lost',
  GpuValidationError: 'internal',
  DownloadError: 'download',
  OfflineError: 'offline',
  GatedModelError: 'gated',
  NotFoundError: 'not-found',
  RateLimitedError: 'rate-limited',
  ByteSourceError: 'download',
  ForeignAddressError: 'download',
  IntegrityError: 'integrity',
  ManifestError: 'integrity',
  OnnxFormatError: 'unsupported-model',
  UnsupportedModelError: 'unsupported-model',
  ChatTemplateError: 'unsupported-model',
  VerdictError: 'unsupported-model',
  LabelError: 'unsupported-model',
  ParityError: 'parity',
  RangeError: 'bad-input',
  ModelSourceError: 'bad-input',
  StoredModelInUseError: 'bad-input',
  RecipeError: 'bad-input',
  CheckpointError: 'bad-input',
  SpecError: 'bad-input',
  SequenceTooLongError: 'bad-input',
  PromptTooLongError: 'bad-input',
  DatasetError: 'bad-input',
  DivergedError: 'bad-input',
  MemoryPlanError: 'memory',
  TargetMismatchError: 'internal',
  ShareLinkError: 'share-link',
  CancelledError: 'cancelled',
  AbortError: 'cancelled',
};

const OUT_OF_MEMORY = /out of memory|allocation failed|bad_alloc|Array buffer allocation/i;

/** The engine's logits differ from the runtime's: training would optimise another model. */
export class ParityError extends Error {
  override readonly name = 'ParityError';
  constructor(
    readonly relativeError: number,
    readonly tolerance: number,
  ) {
    super(
      `The engine and the runtime disagree about this model: relative error ${relativeError.toExponential(1)}, tolerance ${tolerance.toExponential(0)}. Training is refused.`,
    );
  }
}

/** A model that is not what its place asks for. */
export class UnsupportedModelError extends Error {
  override readonly name = 'UnsupportedModelError';
}

/** A file that could not be fetched. */
export class DownloadError extends Error {
  override readonly name: string = 'DownloadError';
}

/** The browser has no connection, or the server cannot be reached at all. */
export class OfflineError extends DownloadError {
  override readonly name = 'OfflineError';
}

/** A model cannot be deleted while it is read. */
export class StoredModelInUseError extends Error {
  override readonly name = 'StoredModelInUseError';
  constructor(options?: ErrorOptions) {
    super('This model is open. Close the pages that use it, then delete it.', options);
  }
}

/** The hub wants an accepted licence or a token (401, 403). */
export class GatedModelError extends DownloadError {
  override readonly name = 'GatedModelError';
}

/** No such repository, revision or file. */
export class NotFoundError extends DownloadError {
  override readonly name = 'NotFoundError';
}

/** The server asked to come back later (429), again and again. */
export class RateLimitedError extends DownloadError {
  override readonly name = 'RateLimitedError';
}

export function describeError(error: unknown): WireError {
  if (!(error instanceof Error)) return { code: 'internal', message: String(error) };
  if (OUT_OF_MEMORY.test(error.message)) {
    return {
      code: 'memory',
      message: 'This device ran out of memory. Close other tabs and try again.',
    };
  }
  // From another worker, over a port: it says itself what it is.
  if (error instanceof WorkerError) return { code: error.code, message: error.message };
  const code = CODES[error.name];
  if (code === 'cancelled') return { code, message: 'Cancelled.' };
  if (code === 'gpu-lost') {
    // The browser's own words are for developers; they stay for reports.
    return { code, message: `The graphics device stopped working. (${error.message})` };
  }
  if (code) return { code, message: error.message };
  return { code: 'internal', message: `Something unexpected happened: ${error.message}` };
}
