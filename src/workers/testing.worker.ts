/** A worker for tests of the protocol: no model, only ways to answer and to fail. */
import { MemoryPlanError } from '../engine/errors';
import { GpuLostError } from '../kernels/gpu/errors';
import { describeError } from './wire/errors';
import type { GuardRole } from './wire/protocol';
import { type Requests, requestsOver } from './wire/requests';
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
    payload: 'range' | 'plan' | 'lost' | 'unknown' | 'memory' | 'text';
    event: never;
    result: null;
  };
  /** Throws outside of any request, as a bug would. */
  crash: { payload: null; event: never; result: null };
  connect: { payload: { port: MessagePort }; event: never; result: null };
  /** The other end: requests of `ask` go to the worker that was given it with `connect`. */
  connectTo: { payload: { port: MessagePort; role: GuardRole }; event: never; result: null };
  /** Asks that worker to fail. */
  ask: { payload: TestingRequests['fail']['payload']; event: never; result: null };
  /** `count` numbers, handed over or copied: all of a buffer or its second half. */
  numbers: {
    payload: { count: number; handOver: boolean; half?: boolean };
    event: never;
    result: Float32Array;
  };
  /** How many of the last numbers are still here. */
  numbersLeft: { payload: null; event: never; result: number };
}

let age = 0;
let other: Requests<Pick<TestingRequests, 'fail'>> | null = null;
let numbers = new Float32Array();

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
      case 'plan':
        throw new MemoryPlanError('Training needs 2 MB; 1 MB is allowed.', 2e6, 1e6);
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
    const { count, wait, fail } = handlers;
    serve<Pick<TestingRequests, 'count' | 'wait' | 'fail'>>(
      port,
      { count, wait, fail },
      describeError,
    );
    port.start();
    return null;
  },
  async connectTo({ port, role }) {
    other = requestsOver(port, role);
    return null;
  },
  async ask(kind) {
    if (!other) throw new RangeError('Connect it first.');
    return other.request('fail', kind);
  },
  async numbers({ count, handOver: moves, half = false }, { handOver }) {
    const all = Float32Array.from({ length: count }, (_, i) => i);
    numbers = half ? all.subarray(count / 2) : all;
    if (moves) handOver(numbers);
    return numbers;
  },
  async numbersLeft() {
    return numbers.length;
  },
};

serve<TestingRequests>(self as unknown as Endpoint, handlers, describeError);
