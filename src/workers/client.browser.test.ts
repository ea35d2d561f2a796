// The protocol between a page and a real worker: answers, events, cancelling, errors, respawning.
import { afterEach, describe, expect, test } from 'vitest';
import { WorkerClient, WorkerError } from './client';
import { requestsOver } from './wire/requests';
import type { TestingRequests } from './testing.worker';
import type { WorkerRole } from './wire/protocol';

const clients: WorkerClient<TestingRequests>[] = [];

function client(role: WorkerRole = 'trainer'): WorkerClient<TestingRequests> {
  const made = new WorkerClient<TestingRequests>(
    () => new Worker(new URL('./testing.worker.ts', import.meta.url), { type: 'module' }),
    role,
  );
  clients.push(made);
  return made;
}

afterEach(() => {
  for (const made of clients.splice(0)) made.terminate();
});

describe('a request', () => {
  test('gets its events in order, then its answer', async () => {
    const events: number[] = [];
    const onEvent = (event: number) => events.push(event);
    expect(await client().request('count', { to: 4 }, { onEvent })).toBe(10);
    expect(events).toEqual([1, 2, 3, 4]);
  });

  test('is not mixed up with another one at the same time', async () => {
    const worker = client();
    const sums = [3, 5, 7].map((to) => worker.request('count', { to }));
    expect(await Promise.all(sums)).toEqual([6, 15, 28]);
  });

  test('hands over what it transfers', async () => {
    const values = Float32Array.of(1, 2, 3);
    const answer = client().request('echo', values, { transfer: [values.buffer] });
    expect(values.byteLength).toBe(0);
    expect(await answer).toEqual(Float32Array.of(1, 2, 3));
  });

  test('that cannot be cloned is rejected and leaves the worker as it was', async () => {
    const worker = client();
    const values = Object.assign(new Float32Array(1), { no: 1 });
    const uncloneable = { to: 1, extra: () => values };
    await expect(worker.request('count', uncloneable)).rejects.toThrow(/could not be cloned/);
    expect(await worker.request('age', null)).toBe(1);
  });
});

describe('cancelling', () => {
  test('ends the request in the worker, which lives on', async () => {
    const worker = client();
    const abort = new AbortController();
    const onEvent = () => abort.abort();
    const waiting = worker.request('wait', null, { signal: abort.signal, onEvent });
    await expect(waiting).rejects.toMatchObject({ name: 'WorkerError', code: 'cancelled' });
    expect(await worker.request('age', null)).toBe(1);
    expect(await worker.request('age', null)).toBe(2);
  });

  test('before the start sends nothing', async () => {
    const signal = AbortSignal.abort();
    await expect(client().request('wait', null, { signal })).rejects.toMatchObject({
      code: 'cancelled',
    });
  });

  test('by ending the worker rejects what is open', async () => {
    const worker = client();
    const waiting = worker.request('wait', null);
    worker.terminate();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
  });
});

describe('errors', () => {
  test.each([
    ['range', 'bad-input', 'That is out of range.'],
    ['plan', 'memory', 'Training needs 2 MB; 1 MB is allowed.'],
    ['lost', 'gpu-lost', 'The graphics device stopped working. (The device was lost.)'],
    ['memory', 'memory', 'This device ran out of memory. Close other tabs and try again.'],
    ['unknown', 'internal', 'Something unexpected happened: What now?'],
    ['text', 'internal', 'Something unexpected happened: a bare text'],
  ] as const)('%s arrives as %s', async (kind, code, message) => {
    await expect(client().request('fail', kind)).rejects.toMatchObject({
      name: 'WorkerError',
      code,
      message,
    });
  });

  test.each(['range', 'plan'] as const)('that only refuse (%s) keep the worker', async (kind) => {
    const worker = client();
    await worker.request('age', null);
    const refused = { broken: false, owner: 'trainer' };
    await expect(worker.request('fail', kind)).rejects.toMatchObject(refused);
    expect(await worker.request('age', null)).toBe(2);
  });

  test('that break the worker end what is open with the same error; the next gets a new one', async () => {
    const worker = client();
    let ends = 0;
    worker.onEnd = () => ends++;
    expect(await worker.request('age', null)).toBe(1);
    const waiting = worker.request('wait', null);
    const failed = worker.request('fail', 'lost');
    await expect(failed).rejects.toMatchObject({ code: 'gpu-lost' });
    await expect(waiting).rejects.toMatchObject({ code: 'gpu-lost' });
    expect(ends).toBe(1);
    expect(await worker.request('age', null)).toBe(1);
  });

  test('outside of any request end the worker, and the next gets a new one', async () => {
    const worker = client();
    await worker.request('age', null);
    await expect(worker.request('crash', null)).rejects.toMatchObject({
      code: 'internal',
      message: expect.stringContaining('crashed') as string,
    });
    expect(await worker.request('age', null)).toBe(1);
  });
});

describe('an answer', () => {
  const count = 1000;

  test('is handed over where the worker gives it away, and copied where not', async () => {
    const worker = client();
    const given = await worker.request('numbers', { count, handOver: true });
    expect([given.length, given[999]]).toEqual([count, 999]);
    expect(await worker.request('numbersLeft', null)).toBe(0);
    expect(await worker.request('numbers', { count, handOver: false })).toEqual(given);
    expect(await worker.request('numbersLeft', null)).toBe(count);
  });

  test('that is a part of a larger buffer leaves the rest where it is', async () => {
    const worker = client();
    const half = await worker.request('numbers', { count, handOver: true, half: true });
    expect([half.length, half[0]]).toEqual([500, 500]);
    expect(await worker.request('numbersLeft', null)).toBe(500);
  });
});

describe('a worker that asks another one', () => {
  /** An engine's worker with a line to a guard's. */
  async function pair() {
    const [engine, guard] = [client('trainer'), client('guard')];
    const reported: WorkerRole[] = [];
    engine.onOtherBroken = (role) => reported.push(role);
    const { port1, port2 } = new MessageChannel();
    await guard.request('connect', { port: port1 }, { transfer: [port1] });
    await engine.request('connectTo', { port: port2, role: 'guard' }, { transfer: [port2] });
    await engine.request('age', null);
    return { engine, reported };
  }

  test.each([
    ['lost', 'gpu-lost'],
    ['memory', 'memory'],
    ['unknown', 'internal'],
  ] as const)('outlives it when it breaks (%s), and says which is broken', async (kind, code) => {
    const { engine, reported } = await pair();
    await expect(engine.request('ask', kind)).rejects.toMatchObject({ code, owner: 'guard' });
    expect(reported).toEqual(['guard']);
    expect(await engine.request('age', null)).toBe(2);
    // Told once: whoever is told may have put another in its place.
    await expect(engine.request('ask', 'range')).rejects.toMatchObject({ code, broken: false });
    expect(reported).toEqual(['guard']);
  });

  test('goes on with it after a refusal', async () => {
    const { engine, reported } = await pair();
    for (const kind of ['plan', 'range', 'plan'] as const) {
      const refused = { broken: false, owner: 'guard' };
      await expect(engine.request('ask', kind)).rejects.toMatchObject(refused);
    }
    expect(reported).toEqual([]);
  });
});

describe('a port to another worker', () => {
  test('answers as the worker itself does', async () => {
    const { port1, port2 } = new MessageChannel();
    await client().request('connect', { port: port1 }, { transfer: [port1] });
    const other = requestsOver<TestingRequests>(port2, 'guard');
    expect(await other.request('count', { to: 3 })).toBe(6);
  });

  test('fails when it is told that the worker has ended', async () => {
    const worker = client();
    const { port1, port2 } = new MessageChannel();
    await worker.request('connect', { port: port1 }, { transfer: [port1] });
    const other = requestsOver<TestingRequests>(port2, 'guard');
    const about = { code: 'internal', message: 'It is gone.' } as const;
    const gone = new WorkerError({ ...about, broken: false, owner: 'guard' });
    worker.onEnd = () => other.end(gone);
    const waiting = other.request('wait', null, { onEvent: () => worker.terminate() });
    await expect(waiting).rejects.toMatchObject({ code: 'internal', message: 'It is gone.' });
    await expect(other.request('count', { to: 1 })).rejects.toThrow('It is gone.');
  });
});
