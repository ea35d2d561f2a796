/** The page's side of the protocol: one typed client a worker. Workers are respawned on failure. */
import type {
  ErrorCode,
  EventOf,
  GuardRequests,
  Payload,
  Result,
  StudentRequests,
  TrainerRequests,
  WireReply,
} from './protocol';

/** An error from a worker, with a code to branch on and a sentence to show. */
export class WorkerError extends Error {
  override readonly name = 'WorkerError';
  constructor(
    readonly code: ErrorCode,
    message: string,
  ) {
    super(message);
  }
}

export interface RequestOptions<E> {
  onEvent?: (event: E) => void;
  signal?: AbortSignal;
  transfer?: Transferable[];
}

interface Pending {
  resolve: (result: unknown) => void;
  reject: (error: WorkerError) => void;
  onEvent: ((event: unknown) => void) | undefined;
}

/** After these the worker's state is not to be trusted: the next request gets a new one. */
const FATAL: ReadonlySet<ErrorCode> = new Set(['gpu-lost', 'internal', 'memory']);

export class WorkerClient<T> {
  private worker: Worker | null = null;
  private nextId = 1;
  private readonly pending = new Map<number, Pending>();

  /** `factory` must hold a literal `new Worker(new URL(…))`, which is what the bundler looks for. */
  constructor(private readonly factory: () => Worker) {}

  /** True where a worker is alive, so that what it had loaded is still there. */
  get alive(): boolean {
    return this.worker !== null;
  }

  /** Rejects with {@link WorkerError}; 'cancelled' where the signal ended it. */
  request<K extends keyof T>(
    name: K,
    payload: Payload<T, K>,
    options: RequestOptions<EventOf<T, K>> = {},
  ): Promise<Result<T, K>> {
    const { signal, onEvent, transfer = [] } = options;
    if (signal?.aborted) return Promise.reject(new WorkerError('cancelled', 'Cancelled.'));
    const worker = (this.worker ??= this.spawn());
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      const cancel = () => worker.postMessage({ type: 'cancel', id });
      const settle = () => {
        this.pending.delete(id);
        signal?.removeEventListener('abort', cancel);
      };
      this.pending.set(id, {
        resolve: (result) => {
          settle();
          resolve(result as Result<T, K>);
        },
        reject: (error) => {
          settle();
          if (FATAL.has(error.code)) this.terminate();
          reject(error);
        },
        onEvent: onEvent as ((event: unknown) => void) | undefined,
      });
      signal?.addEventListener('abort', cancel, { once: true });
      worker.postMessage({ type: 'request', id, name, payload }, transfer);
    });
  }

  /** Ends the worker and frees its memory; open requests are rejected as cancelled. */
  terminate(): void {
    this.fail(new WorkerError('cancelled', 'The worker was stopped.'));
  }

  private spawn(): Worker {
    const worker = this.factory();
    worker.addEventListener('message', ({ data }: MessageEvent<WireReply>) => {
      const pending = this.pending.get(data.id);
      if (!pending) return;
      switch (data.type) {
        case 'event':
          return pending.onEvent?.(data.event);
        case 'result':
          return pending.resolve(data.result);
        case 'error':
          return pending.reject(new WorkerError(data.error.code, data.error.message));
        default:
          data satisfies never;
      }
    });
    worker.addEventListener('error', (event) => {
      const reason = event.message ? ` (${event.message})` : '';
      this.fail(new WorkerError('internal', `A background worker stopped${reason}. Try again.`));
    });
    return worker;
  }

  private fail(error: WorkerError): void {
    this.worker?.terminate();
    this.worker = null;
    const open = [...this.pending.values()];
    this.pending.clear();
    for (const { reject } of open) reject(error);
  }
}

export function createTrainerClient(): WorkerClient<TrainerRequests> {
  return new WorkerClient(
    () => new Worker(new URL('./trainer.worker.ts', import.meta.url), { type: 'module' }),
  );
}

export function createStudentClient(): WorkerClient<StudentRequests> {
  return new WorkerClient(
    () => new Worker(new URL('./student.worker.ts', import.meta.url), { type: 'module' }),
  );
}

/** One worker a classifier: a guard and a judge are two clients. */
export function createGuardClient(): WorkerClient<GuardRequests> {
  return new WorkerClient(
    () => new Worker(new URL('./guard.worker.ts', import.meta.url), { type: 'module' }),
  );
}
