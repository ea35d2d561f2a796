/**
 * A long command that is told to end: what it has under way is left, what it has started is ended
 * by whoever started it, and nothing is started again.
 */
import { constants } from 'node:os';

const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);

/** The reason for which work is left. */
export class EndedError extends Error {
  /** @override */
  name = 'EndedError';

  /** @param {(typeof SIGNALS)[number]} signal */
  constructor(signal) {
    super(`Ended by ${signal}.`);
    /** As shells give it. */
    this.exitCode = 128 + constants.signals[signal];
  }
}

/**
 * Takes over the signals that end a process: the first aborts, the second exits at once.
 * @returns {AbortSignal} its reason is an {@link EndedError}
 */
export function endOnSignal() {
  const abort = new AbortController();
  for (const name of SIGNALS) {
    process.on(name, () => {
      const error = new EndedError(name);
      if (abort.signal.aborted) process.exit(error.exitCode);
      console.error(`${error.message} Closing what is open …`);
      abort.abort(error);
    });
  }
  return abort.signal;
}

/**
 * What `work` gives, unless the command is ended first.
 * @template T
 * @param {AbortSignal} ended
 * @param {Promise<T>} work
 * @returns {Promise<T>}
 */
export async function unlessEnded(ended, work) {
  /** @type {() => void} */
  let forget = () => undefined;
  const end = new Promise((_, reject) => {
    const leave = () => reject(ended.reason);
    forget = () => ended.removeEventListener('abort', leave);
    if (ended.aborted) leave();
    else ended.addEventListener('abort', leave);
  });
  try {
    return /** @type {T} */ (await Promise.race([work, end]));
  } finally {
    forget();
  }
}
