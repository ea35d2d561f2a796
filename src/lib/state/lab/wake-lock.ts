/** Keeps the screen, and with it the GPU, awake while something trains; silently does without. */
export class WakeLock {
  #sentinel: WakeLockSentinel | null = null;
  #wanted = false;
  #again = () => {
    // The browser lets go when the tab is hidden; take it back when it is seen again.
    if (this.#wanted && document.visibilityState === 'visible') void this.#take();
  };

  async acquire(): Promise<void> {
    this.#wanted = true;
    document.addEventListener('visibilitychange', this.#again);
    await this.#take();
  }

  release(): void {
    this.#wanted = false;
    document.removeEventListener('visibilitychange', this.#again);
    void this.#sentinel?.release();
    this.#sentinel = null;
  }

  async #take(): Promise<void> {
    try {
      const sentinel = await navigator.wakeLock.request('screen');
      if (this.#wanted) this.#sentinel = sentinel;
      // Let go of while it was being asked for.
      else await sentinel.release();
    } catch {
      this.#sentinel = null;
    }
  }
}
