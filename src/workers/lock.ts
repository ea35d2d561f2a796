/** Turns at something that only one may use at a time, first come first served. */
export class Lock {
  private tail: Promise<void> = Promise.resolve();

  /** Resolves when it is the caller's turn, with what ends the turn; ending twice does nothing. */
  async acquire(): Promise<() => void> {
    const before = this.tail;
    let release!: () => void;
    this.tail = new Promise((resolve) => (release = resolve));
    await before;
    return release;
  }

  /** Runs `job` in a turn of its own. */
  async run<R>(job: () => Promise<R>): Promise<R> {
    const release = await this.acquire();
    try {
      return await job();
    } finally {
      release();
    }
  }
}
