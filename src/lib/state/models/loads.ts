/** Loads that several callers wait for: each ends its own wait, and a load ends when nobody waits. */
import { cancelled } from '../../../workers/client';

/** A load that is told to end may hear nothing while a session is made; then it is cut off. */
const GRACE_MS = 1000;

export interface LoadHooks<K> {
  /** Loads what `key` names. */
  open(key: K, signal: AbortSignal): Promise<void>;
  /** Makes an `open` that goes on after its signal end now, and tells `lose`. */
  cutOff(key: K): void;
}

export class Loads<K> {
  private readonly loads = new Map<K, Load>();

  constructor(private readonly hooks: LoadHooks<K>) {}

  /**
   * Waits until `key` is loaded, which it may be already, or is being for others.
   * @throws what loading it throws; an error with code 'cancelled' as soon as `signal` ends the wait
   */
  wait(key: K, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(cancelled());
    const present = this.loads.get(key);
    const load = present && !present.ending ? present : this.start(key, present);
    return load.wait(signal);
  }

  /** What is or was to be loaded is wanted no more: the next wait starts anew. */
  forget(key: K): void {
    const load = this.loads.get(key);
    this.loads.delete(key);
    load?.end();
  }

  /** What was loaded, or was being, is gone; a load that has not begun is not touched by that. */
  lose(key: K): void {
    if (this.loads.get(key)?.begun) this.forget(key);
  }

  /** One load of a key at a time: what was deserted ends first. */
  private start(key: K, before: Load | undefined): Load {
    const { hooks } = this;
    const load: Load = new Load(
      async (signal) => {
        await before?.over;
        signal.throwIfAborted();
        load.begun = true;
        await hooks.open(key, signal);
      },
      () => {
        const present = this.loads.get(key);
        // Unless another has taken its place, perhaps in the same worker.
        if (!present || present === load || !present.begun) hooks.cutOff(key);
      },
    );
    load.done.catch(() => {
      if (this.loads.get(key) === load) this.loads.delete(key);
    });
    this.loads.set(key, load);
    return load;
  }
}

class Load {
  begun = false;
  readonly done: Promise<void>;
  /** Resolves when nothing of it goes on, whatever has become of it. */
  readonly over: Promise<void>;
  private readonly abort = new AbortController();
  private waiting = 0;
  private settled = false;
  private markOver!: () => void;

  constructor(
    work: (signal: AbortSignal) => Promise<void>,
    private readonly cutOff: () => void,
  ) {
    this.over = new Promise((resolve) => (this.markOver = resolve));
    this.done = work(this.abort.signal);
    const settle = () => {
      this.settled = true;
      this.markOver();
    };
    this.done.then(settle, settle);
  }

  get ending(): boolean {
    return this.abort.signal.aborted;
  }

  end(): void {
    if (!this.settled) this.abort.abort();
  }

  wait(signal?: AbortSignal): Promise<void> {
    this.waiting++;
    return new Promise((resolve, reject) => {
      const leave = () => {
        reject(cancelled());
        if (--this.waiting === 0) this.desert();
      };
      signal?.addEventListener('abort', leave, { once: true });
      const stay = () => signal?.removeEventListener('abort', leave);
      this.done.then(
        () => (stay(), resolve()),
        (error: unknown) => (stay(), reject(error as Error)),
      );
    });
  }

  private desert(): void {
    if (this.settled) return;
    this.end();
    setTimeout(() => {
      if (this.settled) return;
      this.cutOff();
      this.markOver();
    }, GRACE_MS);
  }
}
