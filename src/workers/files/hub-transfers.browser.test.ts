// Downloads that break, are cancelled and go on, against the hub of tests/hub-server.mjs.
import { describe, expect, test } from 'vitest';
import type { Progress } from '../wire/protocol';
import {
  breakAt,
  clients,
  fails,
  log,
  serveRepo,
  source,
  useHub,
  WEIGHT_BYTES,
  WEIGHTS,
  weightRequests,
  weights,
  worker,
} from './hub.testing';
import { findStored } from './stored';

useHub();

describe('a transfer that breaks', () => {
  test('goes on where it stopped, several times', async () => {
    await fails({ path: WEIGHTS, kind: 'stall', after: 60_000 });
    await fails({ path: WEIGHTS, kind: 'stall', after: 60_000 });
    const retries: string[] = [];
    const cut = breakAt(50_000, 105_000);
    const onEvent = (event: Progress) => {
      cut(event);
      if (event.waiting) retries.push(event.waiting.for);
    };
    const set = await worker().request('open', { source: source() }, { onEvent });
    expect(set.files[WEIGHTS]).toBe(WEIGHT_BYTES);
    expect(await clients[0]!.request('read', WEIGHTS)).toEqual(await weights());
    const requests = await weightRequests();
    expect(requests).toHaveLength(3);
    expect(requests[0]).toBe('200');
    const starts = requests.slice(1).map((r) => Number(/^206 bytes=(\d+)-$/.exec(r)![1]));
    expect(starts[0]).toBeGreaterThan(0);
    expect(starts[1]).toBeGreaterThan(starts[0]!);
    expect(starts[1]).toBeLessThanOrEqual(120_000);
    expect(retries).toEqual(['retry', 'retry']);
  });

  test('by ending early without an error is noticed by its size', async () => {
    await fails({ path: WEIGHTS, kind: 'short', after: 100_000 });
    const set = await worker().request('open', { source: source() });
    expect(set.files[WEIGHTS]).toBe(WEIGHT_BYTES);
    expect(await weightRequests()).toEqual(['200', '206 bytes=100000-']);
  });

  test('by going silent is ended and taken up again', async () => {
    await fails({ path: WEIGHTS, kind: 'stall', after: 100_000 });
    const set = await worker().request('open', { source: source(), stallAfter: 4000 });
    expect(set.files[WEIGHTS]).toBe(WEIGHT_BYTES);
    expect(await weightRequests()).toEqual(['200', '206 bytes=100000-']);
  });

  test('starts anew with a server that ignores ranges', async () => {
    await fails({ path: WEIGHTS, kind: 'stall', after: 90_000 });
    await fails({ path: WEIGHTS, kind: 'no-range' });
    const onEvent = breakAt(80_000);
    await worker().request('open', { source: source() }, { onEvent });
    expect(await clients[0]!.request('read', WEIGHTS)).toEqual(await weights());
    expect(await weightRequests()).toEqual([
      '200',
      expect.stringMatching(/^200 bytes=\d+-$/) as string,
    ]);
  });

  test('starts anew with a server that lets no page ask for ranges', async () => {
    await fails({ path: WEIGHTS, kind: 'stall', after: 90_000 });
    await fails({ path: WEIGHTS, kind: 'refuse-range', times: 3 });
    const onEvent = breakAt(80_000);
    await worker().request('open', { source: source() }, { onEvent });
    expect(await clients[0]!.request('read', WEIGHTS)).toEqual(await weights());
    // Asked with a range, without one to see whether anybody is there, again with one, then whole.
    expect((await weightRequests()).map((entry) => entry.slice(0, 3))).toEqual([
      '200',
      '206',
      '200',
      '206',
      '200',
    ]);
  });

  test('starts anew when the ETag says that the file is another one', async () => {
    await serveRepo({ showsHeaders: true });
    await fails({ path: WEIGHTS, kind: 'stall', after: 90_000 });
    await fails({ path: WEIGHTS, kind: 'etag', value: '"another"' });
    await worker().request('open', { source: source() }, { onEvent: breakAt(80_000) });
    expect(await clients[0]!.request('read', WEIGHTS)).toEqual(await weights());
    expect((await weightRequests()).map((entry) => entry.slice(0, 3))).toEqual([
      '200',
      '206',
      '200',
    ]);
  });

  test('starts anew when only the hash shows that the part was of another file', async () => {
    // The part that is kept has a wrong byte, as of another version; its headers are hidden.
    await fails({ path: WEIGHTS, kind: 'stall', after: 100_000, alterAt: 10 });
    const abort = new AbortController();
    const cancelled = worker().request(
      'open',
      { source: source() },
      { signal: abort.signal, onEvent: ({ done }) => done > 60_000 && abort.abort() },
    );
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    await worker().request('open', { source: source() });
    expect(await clients[1]!.request('read', WEIGHTS)).toEqual(await weights());
    const statuses = (await weightRequests()).map((entry) => entry.slice(0, 3));
    expect(statuses).toEqual(['200', '206', '200']);
  });

  test('again and again gives up in the end, and leaves a part for the next time', async () => {
    await fails({ path: WEIGHTS, kind: 'status', status: 503, times: 50 });
    await expect(worker().request('open', { source: source() })).rejects.toMatchObject({
      code: 'download',
      message: expect.stringContaining('status 503') as string,
    });
    const refused = (await log()).filter(({ status }) => status === 503);
    expect(refused).toHaveLength(6);
    expect((await findStored(source()))!.complete).toBe(false);
  });
});

describe('cancelling', () => {
  test('leaves a part, from which another worker goes on', async () => {
    await fails({ path: WEIGHTS, kind: 'stall', after: 100_000 });
    const abort = new AbortController();
    const cancelled = worker().request(
      'open',
      { source: source() },
      { signal: abort.signal, onEvent: ({ done }) => done > 60_000 && abort.abort() },
    );
    await expect(cancelled).rejects.toMatchObject({ code: 'cancelled' });
    const { bytes, complete } = (await findStored(source()))!;
    expect(complete).toBe(false);
    expect(bytes).toBeGreaterThan(60_000);
    const seen: Progress[] = [];
    await worker().request('open', { source: source() }, { onEvent: (event) => seen.push(event) });
    expect(await clients[1]!.request('read', WEIGHTS)).toEqual(await weights());
    expect(seen.find(({ resumedFrom }) => resumedFrom)?.resumedFrom).toBe(bytes);
    expect((await weightRequests())[1]).toMatch(/^206 bytes=\d+-$/);
  });

  test('a worker that is ended leaves a part as well', async () => {
    await fails({ path: WEIGHTS, kind: 'stall', after: 100_000 });
    const ended = worker();
    await new Promise<void>((resolve) => {
      const onEvent = ({ done }: Progress) => done > 60_000 && resolve();
      ended.request('open', { source: source() }, { onEvent }).catch(() => undefined);
    });
    ended.terminate();
    await worker().request('open', { source: source() });
    expect(await clients[1]!.request('read', WEIGHTS)).toEqual(await weights());
    expect((await weightRequests())[1]).toMatch(/^206 bytes=\d+-$/);
  });

  test('while another worker downloads ends the wait only', async () => {
    await fails({ path: WEIGHTS, kind: 'stall', after: 100_000 });
    const first = worker();
    await new Promise<void>((resolve) => {
      const onEvent = ({ done }: Progress) => done > 60_000 && resolve();
      first.request('open', { source: source() }, { onEvent }).catch(() => undefined);
    });
    const abort = new AbortController();
    const second = worker().request(
      'open',
      { source: source() },
      { signal: abort.signal, onEvent: ({ waiting }) => waiting && abort.abort() },
    );
    await expect(second).rejects.toMatchObject({ code: 'cancelled' });
    expect(await weightRequests()).toEqual(['200']);
  });
});
