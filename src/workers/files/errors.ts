/** Why a model's files could not be had, or not be let go. */
import { type ErrorCode, KnownError } from '../../formats/errors';

/** A file that could not be fetched. */
export class DownloadError extends KnownError {
  override readonly name: string = 'DownloadError';
  readonly errorCode: ErrorCode = 'download';
}

/** The browser has no connection, or the server cannot be reached at all. */
export class OfflineError extends DownloadError {
  override readonly name = 'OfflineError';
  override readonly errorCode = 'offline';
}

/** The hub wants an accepted licence or a token (401, 403). */
export class GatedModelError extends DownloadError {
  override readonly name = 'GatedModelError';
  override readonly errorCode = 'gated';
}

/** No such repository, revision or file. */
export class NotFoundError extends DownloadError {
  override readonly name = 'NotFoundError';
  override readonly errorCode = 'not-found';
}

/** The server asked to come back later (429), again and again. */
export class RateLimitedError extends DownloadError {
  override readonly name = 'RateLimitedError';
  override readonly errorCode = 'rate-limited';
}

/** A model cannot be deleted while it is read. */
export class StoredModelInUseError extends KnownError {
  override readonly name = 'StoredModelInUseError';
  readonly errorCode = 'bad-input';
  constructor(options?: ErrorOptions) {
    super('This model is open. Close the pages that use it, then delete it.', options);
  }
}
