/** The worker's side of the protocol. */
import type {
  EventOf,
  Payload,
  RequestTable,
  Result,
  WireError,
  WireReply,
  WireRequest,
} from './protocol';

export interface RequestContext<E> {
  emit(event: E): void;
  signal: AbortSignal;
  /**
   * Has the answer hand over these arrays of it instead of copying them: they are empty here once it
   * is sent, so nothing here may read them any more.
   */
  handOver(...arrays: readonly ArrayBufferView[]): void;
}

export type Handlers<T> = {
  [K in keyof T]: (
    payload: Payload<T, K>,
    context: RequestContext<EventOf<T, K>>,
  ) => Promise<Result<T, K>>;
};

/** What a worker's global scope and a MessagePort have in common. */
export interface Endpoint {
  postMessage(message: WireReply, transfer?: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
}

/**
 * Answers requests that arrive at `endpoint`. Handlers run side by side; a handler that must not,
 * says so itself. `describe` turns any thrown value into a code and a sentence.
 */
export function serve<T extends { [K in keyof T]: RequestTable[string] }>(
  endpoint: Endpoint,
  handlers: Handlers<T>,
  describe: (error: unknown) => WireError,
): void {
  const running = new Map<number, AbortController>();

  async function answer<K extends keyof T>(id: number, name: K, payload: Payload<T, K>) {
    const controller = new AbortController();
    running.set(id, controller);
    const moved = new Set<ArrayBuffer>();
    try {
      const result = await handlers[name](payload, {
        emit: (event) => endpoint.postMessage({ type: 'event', id, event }),
        signal: controller.signal,
        handOver: (...arrays) => arrays.filter(isWhole).forEach(({ buffer }) => moved.add(buffer)),
      });
      endpoint.postMessage({ type: 'result', id, result }, [...moved]);
    } catch (error) {
      endpoint.postMessage({ type: 'error', id, error: describe(error) });
    } finally {
      running.delete(id);
    }
  }

  endpoint.addEventListener('message', ({ data }: MessageEvent<WireRequest<T>>) => {
    if (data.type === 'cancel') running.get(data.id)?.abort();
    else void answer(data.id, data.name, data.payload as Payload<T, typeof data.name>);
  });
}

/** A part of a larger buffer is copied: the rest is not the answer's to give away. */
function isWhole(view: ArrayBufferView): view is ArrayBufferView<ArrayBuffer> {
  const { buffer, byteLength } = view;
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength && byteLength > 0;
}
