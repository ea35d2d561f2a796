/** What every error of this app says of itself; all rooms may use it. */

/** What went wrong, in a word that a caller can branch on. */
export type ErrorCode =
  | 'no-webgpu'
  | 'gpu-lost'
  | 'download'
  | 'offline'
  | 'gated'
  | 'not-found'
  | 'rate-limited'
  | 'integrity'
  | 'unsupported-model'
  | 'parity'
  | 'memory'
  | 'bad-input'
  | 'share-link'
  | 'cancelled'
  | 'internal';

/**
 * An error with a cause and a sentence for the person at the screen. It says whether what threw it
 * only refused, and may be asked again, or is broken: its state is then not to be trusted. Classes
 * set `name` themselves, because minified builds rename classes.
 */
export abstract class KnownError extends Error {
  abstract readonly errorCode: ErrorCode;
  readonly broken: boolean = false;
}

/** Whether what threw this is known to be broken, so that whatever else it is asked will fail too. */
export function isBroken(error: unknown): boolean {
  return error instanceof KnownError && error.broken;
}
