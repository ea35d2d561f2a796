/** The page's side of the protocol: one typed client a worker. Workers are respawned on failure. */
import type { DatasetRequests } from './datasets/protocol';
import type {
  EventOf,
  GuardRequests,
  GuardRole,
  Payload,
  Result,
  StudentRequests,
  TrainerRequests,
  WorkerRole,
} from './wire/protocol';
import { cancelled, type RequestOptions, Requests, WorkerError } from './wire/requests';

export { cancelled, type RequestOptions, WorkerError } from './wire/requests';

export class WorkerClient<T> {
  /** Called when the worker has ended, and with it all that it had loaded. */
  onEnd: (() => void) | null = null;
  /** Called when the worker reports that another one, which it asks, is broken. */
  onOtherBroken: ((role: WorkerRole) => void) | null = null;
  private running: { worker: Worker; requests: Requests<T> } | null = null;

  /** `factory` must hold a literal `new Worker(new URL(…))`, which is what the bundler looks for. */
  constructor(
    private readonly factory: () => Worker,
    private readonly role: WorkerRole,
  ) {}

  /**
   * Rejects with {@link WorkerError}; 'cancelled' where the signal ended it. An error that leaves
   * the worker broken ends it, and all that it was asked for; a refusal keeps it.
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
      if (error instanceof WorkerError && error.broken) this.takeBroken(running.worker, error);
      throw error;
    }
  }

  /** Ends the worker and frees its memory; open requests are rejected as cancelled. */
  terminate(): void {
    if (this.running) {
      this.end(this.running.worker, cancelled('The worker was stopped.'));
    }
  }

  private spawn() {
    const worker = this.factory();
    const requests = new Requests<T>(worker, this.role);
    worker.addEventListener('error', ({ message }) => {
      const reason = message ? ` (${message})` : '';
      const about = `A background worker stopped${reason}. Try again.`;
      const stopped = { code: 'internal', message: about, broken: true, owner: this.role } as const;
      this.end(worker, new WorkerError(stopped));
    });
    return { worker, requests };
  }

  private takeBroken(worker: Worker, error: WorkerError): void {
    const { owner } = error;
    if (owner === null || owner === this.role) this.end(worker, error);
    else this.onOtherBroken?.(owner);
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
    'trainer',
  );
}

export function createStudentClient(): WorkerClient<StudentRequests> {
  return new WorkerClient(
    () => new Worker(new URL('./runtime/student.worker.ts', import.meta.url), { type: 'module' }),
    'student',
  );
}

/** One worker a classifier: a guard and a judge are two clients. */
export function createGuardClient(role: GuardRole = 'guard'): WorkerClient<GuardRequests> {
  return new WorkerClient(
    () => new Worker(new URL('./runtime/guard.worker.ts', import.meta.url), { type: 'module' }),
    role,
  );
}

/** Reads prompt sets; {@link WorkerClient.terminate} forgets the open one. */
export function createDatasetClient(): WorkerClient<DatasetRequests> {
  return new WorkerClient(
    () => new Worker(new URL('./datasets/datasets.worker.ts', import.meta.url), { type: 'module' }),
    'datasets',
  );
}
