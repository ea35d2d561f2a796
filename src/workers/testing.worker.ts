/** A worker for tests of the protocol: no model, only ways to answer and to fail. */
import { GpuLostError } from '../kernels/gpu/errors';
import { describeError } from './wire/errors';
import { type Endpoint, type Handlers, serve } from './wire/serve';

export interface TestingRequests {
  /** Emits 1 … `to`, then answers with their sum. */
  count: { payload: { to: number }; event: number; result: number };
  /** Answers with the payload's own buffer, which must arrive by transfer. */
  echo: { payload: Float32Array; event: never; result: Float32Array };
  /** Waits until it is cancelled. */
  wait: { payload: null; event: 'waiting'; result: null };
  /** How many requests this worker has had: a new worker begins at 1. */
  age: { payload: null; event: never; result: number };
  fail: {
    payload: 'range' | 'lost' | 'unknown' | 'memory' | 'text';
    event: never;
    result: null;
  };
  /** Throws outside of any request, as a bug would. */
  crash: { payload: null; event: never; result: null };
  connect: { payload: { port: MessagePort }; event: never; result: null };
}

let age = 0;

const handlers: Handlers<TestingRequests> = {
  async count({ to }, { emit }) {
    let sum = 0;
    for (let i = 1; i <= to; i++) {
      emit(i);
      sum += i;
    }
    return sum;
  },
  async echo(values) {
    return values;
  },
  wait(_, { emit, signal }) {
    emit('waiting');
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  },
  async age() {
    return ++age;
  },
  async fail(kind) {
    switch (kind) {
      case 'range':
        throw new RangeError('That is out of range.');
      case 'lost':
        throw new GpuLostError('The device was lost.');
      case 'memory':
        throw new RangeError('Array buffer allocation failed');
      case 'text':
        throw 'a bare text';
      case 'unknown':
        throw new Error('What now?');
    }
  },
  crash() {
    setTimeout(() => {
      throw new Error('crashed');
    });
    return new Promise(() => undefined);
  },
  async connect({ port }) {
    serve<Pick<TestingRequests, 'count' | 'wait'>>(
      port,
      { count: handlers.count, wait: handlers.wait },
      describeError,
    );
    port.start();
    return null;
  },
};

serve<TestingRequests>(self as unknown as Endpoint, handlers, describeError);
