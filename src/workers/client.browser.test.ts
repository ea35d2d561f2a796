// The protocol between a page and a real worker: answers, events, cancelling, errors, respawning.
import { afterEach, describe, expect, test } from 'vitest';
import { WorkerClient, WorkerError } from './client';
import { requestsOver } from './wire/requests';
import type { TestingRequests } from './testing.worker';

const clients: WorkerClient<TestingRequests>[] = [];

function client(): WorkerClient<TestingRequests> {
  const made = new WorkerClient<TestingRequests>(
    () => new Worker(new URL('./testing.worker.ts', import.meta.url), { type: 'module' }),
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
    ['lost', 'gpu-lost', 'The graphics device stopped working. (The device was lost.)'],
    ['memory', 'memory', 'This device ran out of memory. Close other tabs and try again.'],
    ['unknown', 'internal', 'Something unexpected happened: What now?'],
    ['text', 'internal', 'a bare text'],
  ] as const)('%s arrives as %s', async (kind, code, message) => {
    await expect(client().request('fail', kind)).rejects.toMatchObject({
      name: 'WorkerError',
      code,
      message,
    });
  });

  test('of the caller keep the worker', async () => {
    const worker = client();
    await worker.request('age', null);
    await expect(worker.request('fail', 'range')).rejects.toThrow('out of range');
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

describe('a port to another worker', () => {
  test('answers as the worker itself does', async () => {
    const { port1, port2 } = new MessageChannel();
    await client().request('connect', { port: port1 }, { transfer: [port1] });
    const other = requestsOver<TestingRequests>(port2);
    expect(await other.request('count', { to: 3 })).toBe(6);
  });

  test('fails when it is told that the worker has ended', async () => {
    const worker = client();
    const { port1, port2 } = new MessageChannel();
    await worker.request('connect', { port: port1 }, { transfer: [port1] });
    const other = requestsOver<TestingRequests>(port2);
    worker.onEnd = () => other.end(new WorkerError('internal', 'It is gone.'));
    const waiting = other.request('wait', null, { onEvent: () => worker.terminate() });
    await expect(waiting).rejects.toMatchObject({ code: 'internal', message: 'It is gone.' });
    await expect(other.request('count', { to: 1 })).rejects.toThrow('It is gone.');
  });
});
