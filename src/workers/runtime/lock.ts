/** Turns at something that only one may use at a time, first come first served. */
export class Lock {
  private tail: Promise<void> = Promise.resolve();

  /**
   * Resolves when it is the caller's turn, with what ends the turn; ending twice does nothing.
   * @throws the signal's reason when aborted before its turn
   */
  async acquire(signal?: AbortSignal): Promise<() => void> {
    const before = this.tail;
    let release!: () => void;
    this.tail = new Promise((resolve) => (release = resolve));
    try {
      await unlessAborted(before, signal);
    } catch (reason) {
      // Whoever waits behind still waits for those in front.
      void before.then(release);
      throw reason;
    }
    return release;
  }

  /** Runs `job` in a turn of its own; `signal` ends the wait for it, not the job. */
  async run<R>(job: () => Promise<R>, signal?: AbortSignal): Promise<R> {
    const release = await this.acquire(signal);
    try {
      return await job();
    } finally {
      release();
    }
  }
}

function unlessAborted(wait: Promise<void>, signal?: AbortSignal): Promise<void> {
  if (!signal) return wait;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    void wait.then(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    });
  });
}
