/** The asking side of the protocol, over a worker or over a port to one. */
import { type ErrorCode, KnownError } from '../../formats/errors';
import type { EventOf, Payload, Result, WireError, WireReply, WorkerRole } from './protocol';

/** An error from a worker, with a code to branch on and a sentence to show. */
export class WorkerError extends KnownError {
  override readonly name = 'WorkerError';
  readonly code: ErrorCode;
  override readonly broken: boolean;
  /** The worker that it is about; null where none is. */
  readonly owner: WorkerRole | null;

  constructor({ code, message, broken, owner }: WireError) {
    super(message);
    this.code = code;
    this.broken = broken;
    this.owner = owner;
  }

  get errorCode(): ErrorCode {
    return this.code;
  }
}

/** The caller's own signal ended a request, or the worker was ended on purpose. */
export function cancelled(message = 'Cancelled.'): WorkerError {
  return new WorkerError({ code: 'cancelled', message, broken: false, owner: null });
}

export interface RequestOptions<E> {
  onEvent?: (event: E) => void;
  signal?: AbortSignal;
  transfer?: Transferable[];
}

/** What a Worker and a MessagePort have in common, seen from the asking side. */
export interface Peer {
  postMessage(message: unknown, transfer: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<WireReply>) => void): void;
}

interface Pending {
  resolve: (result: unknown) => void;
  reject: (error: unknown) => void;
  onEvent: ((event: unknown) => void) | undefined;
}

/** Open requests to one peer. That it is broken is told once; what else it was asked for just ends. */
export class Requests<T> {
  private nextId = 1;
  private readonly pending = new Map<number, Pending>();
  private ended: WorkerError | null = null;

  constructor(
    private readonly peer: Peer,
    private readonly owner: WorkerRole,
  ) {
    peer.addEventListener('message', ({ data }) => {
      const pending = this.pending.get(data.id);
      if (!pending) return;
      switch (data.type) {
        case 'event':
          return pending.onEvent?.(data.event);
        case 'result':
          return pending.resolve(data.result);
        case 'error':
          return this.fail(pending, data.error);
        default:
          data satisfies never;
      }
    });
  }

  /** Rejects with {@link WorkerError}; 'cancelled' where the signal ended it. */
  request<K extends keyof T>(
    name: K,
    payload: Payload<T, K>,
    options: RequestOptions<EventOf<T, K>> = {},
  ): Promise<Result<T, K>> {
    const { signal, onEvent, transfer = [] } = options;
    if (this.ended) return Promise.reject(this.ended);
    if (signal?.aborted) return Promise.reject(cancelled());
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      const cancel = () => this.peer.postMessage({ type: 'cancel', id }, []);
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
          reject(error);
        },
        onEvent: onEvent as ((event: unknown) => void) | undefined,
      });
      signal?.addEventListener('abort', cancel, { once: true });
      try {
        this.peer.postMessage({ type: 'request', id, name, payload }, transfer);
      } catch (error) {
        // A payload that cannot be cloned never left.
        settle();
        reject(error);
      }
    });
  }

  private fail(pending: Pending, error: WireError): void {
    const owner = error.owner ?? this.owner;
    pending.reject(new WorkerError({ ...error, owner }));
    if (error.broken && owner === this.owner) {
      this.end(new WorkerError({ ...error, broken: false, owner }));
    }
  }

  /** Rejects what is open and whatever is asked from now on. */
  end(error: WorkerError): void {
    this.ended ??= error;
    for (const { reject } of [...this.pending.values()]) reject(error);
  }
}

/**
 * Requests to the worker that holds the other end of `port`. A port does not tell that the worker
 * has died: call `end` then.
 */
export function requestsOver<T>(port: MessagePort, owner: WorkerRole): Requests<T> {
  const requests = new Requests<T>(port, owner);
  port.start();
  return requests;
}
