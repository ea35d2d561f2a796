/** The page's side of the protocol: one typed client a worker. Workers are respawned on failure. */
import type {
  ErrorCode,
  EventOf,
  GuardRequests,
  Payload,
  Result,
  StudentRequests,
  TrainerRequests,
} from './wire/protocol';
import { type RequestOptions, Requests, WorkerError } from './wire/requests';

export { type RequestOptions, WorkerError } from './wire/requests';

/** After these the worker's state is not to be trusted: the next request gets a new one. */
const FATAL: ReadonlySet<ErrorCode> = new Set(['gpu-lost', 'internal', 'memory']);

export class WorkerClient<T> {
  /** Called when the worker has ended, and with it all that it had loaded. */
  onEnd: (() => void) | null = null;
  private running: { worker: Worker; requests: Requests<T> } | null = null;

  /** `factory` must hold a literal `new Worker(new URL(…))`, which is what the bundler looks for. */
  constructor(private readonly factory: () => Worker) {}

  /**
   * Rejects with {@link WorkerError}; 'cancelled' where the signal ended it. An error that leaves
   * the worker broken ends it, and all that it was asked for.
   */
  async request<K extends keyof T>(
    name: K,
    payload: Payload<T, K>,
    options: RequestOptions<EventOf<T, K>> = {},
  ): Promise<Result<T, K>> {
    const running = (this.running ??= this.spawn());
    try {
      return await running.requests.request(name, payload, options);
    } catch (error) {
      if (error instanceof WorkerError && FATAL.has(error.code)) this.end(running.worker, error);
      throw error;
    }
  }

  /** Ends the worker and frees its memory; open requests are rejected as cancelled. */
  terminate(): void {
    if (this.running) {
      this.end(this.running.worker, new WorkerError('cancelled', 'The worker was stopped.'));
    }
  }

  private spawn() {
    const worker = this.factory();
    const requests = new Requests<T>(worker);
    worker.addEventListener('error', ({ message }) => {
      const reason = message ? ` (${message})` : '';
      this.end(
        worker,
        new WorkerError('internal', `A background worker stopped${reason}. Try again.`),
      );
    });
    return { worker, requests };
  }

  /** A worker that has been replaced already ends without touching its successor. */
  private end(worker: Worker, error: WorkerError): void {
    if (this.running?.worker !== worker) return;
    const { requests } = this.running;
    this.running = null;
    worker.terminate();
    requests.end(error);
    this.onEnd?.();
  }
}

export function createTrainerClient(): WorkerClient<TrainerRequests> {
  return new WorkerClient(
    () => new Worker(new URL('./trainer/trainer.worker.ts', import.meta.url), { type: 'module' }),
  );
}

export function createStudentClient(): WorkerClient<StudentRequests> {
  return new WorkerClient(
    () => new Worker(new URL('./runtime/student.worker.ts', import.meta.url), { type: 'module' }),
  );
}

/** One worker a classifier: a guard and a judge are two clients. */
export function createGuardClient(): WorkerClient<GuardRequests> {
  return new WorkerClient(
    () => new Worker(new URL('./runtime/guard.worker.ts', import.meta.url), { type: 'module' }),
  );
}
