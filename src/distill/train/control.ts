/** Pause, resume, single steps and an early end of a running loop, from outside of it. */

export type RunState = 'running' | 'paused';

export class RunControl {
  private paused = false;
  private stopped = false;
  private allowed = 0;
  private wake: (() => void) | null = null;

  constructor(private readonly onState?: (state: RunState) => void) {}

  get state(): RunState {
    return this.paused ? 'paused' : 'running';
  }

  pause(): void {
    if (this.paused) return;
    this.paused = true;
    this.onState?.('paused');
  }

  resume(): void {
    this.allowed = 0;
    if (this.paused) {
      this.paused = false;
      this.onState?.('running');
    }
    this.wake?.();
  }

  /** Lets one more step pass while paused; a running loop pauses after its next step. */
  step(): void {
    this.pause();
    this.allowed++;
    this.wake?.();
  }

  /** The loop ends before its next step, as if it had been its last. */
  stop(): void {
    this.stopped = true;
    this.wake?.();
  }

  /** The loop waits here before each step: true to go on, false to end. */
  async gate(signal?: AbortSignal): Promise<boolean> {
    for (;;) {
      signal?.throwIfAborted();
      if (this.stopped) return false;
      if (!this.paused) return true;
      if (this.allowed > 0) {
        this.allowed--;
        return true;
      }
      await new Promise<void>((resolve) => {
        const done = () => {
          signal?.removeEventListener('abort', done);
          this.wake = null;
          resolve();
        };
        this.wake = done;
        signal?.addEventListener('abort', done);
      });
    }
  }
}
