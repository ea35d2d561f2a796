// Files that are wrong and hubs that refuse, against the hub of tests/hub-server.mjs.
import { describe, expect, test } from 'vitest';
import type { HubSource } from '../../formats/model-source';
import {
  clients,
  fails,
  hub,
  log,
  repo,
  serveRepo,
  source,
  useHub,
  WEIGHTS,
  weightRequests,
  weights,
  worker,
} from './hub.testing';
import { deleteStored, findStored } from './stored';

useHub();

describe('a wrong file', () => {
  test('is refused, not kept, and fetched whole the next time', async () => {
    await fails({ path: WEIGHTS, kind: 'alter' });
    await expect(worker().request('open', { source: source() })).rejects.toMatchObject({
      code: 'integrity',
      message: expect.stringContaining(WEIGHTS) as string,
    });
    const set = await worker().request('open', { source: source() });
    expect(await clients[1]!.request('read', WEIGHTS)).toEqual(await weights());
    expect(set.fromCache).toBe(false);
    expect(await weightRequests()).toEqual(['200', '200']);
  });

  test('is refused for a small file too, by the name that git gives it', async () => {
    await fails({ path: 'tokenizer.json', kind: 'alter' });
    await expect(worker().request('open', { source: source() })).rejects.toMatchObject({
      code: 'integrity',
      message: expect.stringContaining('git blob') as string,
    });
    expect(await weightRequests()).toEqual([]);
  });

  test('is refused when the hub promises another hash than the first time', async () => {
    const client = worker();
    await client.request('open', { source: source() });
    await client.request('close', null);
    await deleteStored((await findStored(source()))!.key);
    await fails({ kind: 'status', status: 500 });
    await fails({ kind: 'oid', times: 2 });
    await expect(worker().request('open', { source: source() })).rejects.toMatchObject({
      code: 'integrity',
      message: expect.stringContaining('ffffffffffff') as string,
    });
  });

  test('is refused when the catalogue knows another hash', async () => {
    const sha256 = { [WEIGHTS]: '1'.repeat(64) };
    await expect(worker().request('open', { source: source(), sha256 })).rejects.toMatchObject({
      code: 'integrity',
      message: expect.stringContaining('111111111111') as string,
    });
    expect(await weightRequests()).toEqual([]);
  });
});

describe('a hub that refuses', () => {
  test('says how to get permission, and opens with a token that the download host never sees', async () => {
    await serveRepo({ token: 'hf_right' });
    await expect(worker().request('open', { source: source() })).rejects.toMatchObject({
      code: 'gated',
      message: expect.stringContaining(`${hub}/${repo}`) as string,
    });
    const wrong = worker().request('open', { source: source(), token: 'hf_wrong' });
    await expect(wrong).rejects.toMatchObject({
      code: 'gated',
      message: expect.stringContaining('The access token does not open') as string,
    });
    const set = await worker().request('open', { source: source(), token: 'hf_right' });
    expect(set.stored).toBe('opfs');
    const seen = (await log()).filter(({ status }) => status < 400);
    expect(seen.filter(({ server }) => server === 'hub').every((r) => r.authorised)).toBe(true);
    expect(seen.filter(({ server }) => server === 'cdn').some((r) => r.authorised)).toBe(false);
  });

  test('names what does not exist: model, revision, dtype', async () => {
    const unknown: HubSource = { ...source(), repo: 'tests/nobody' };
    await expect(worker().request('open', { source: unknown })).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('tests/nobody') as string,
    });
    await expect(worker().request('open', { source: source('q4', 'v9') })).rejects.toMatchObject({
      code: 'not-found',
      message: `The model ${repo} has no such revision.`,
    });
    await expect(worker().request('open', { source: source('q4f16') })).rejects.toMatchObject({
      code: 'not-found',
      message: `The model ${repo} has no file onnx/model_q4f16.onnx. It has onnx/model.onnx, ${WEIGHTS}.`,
    });
  });

  test('for a while is asked again when it says so', async () => {
    const headers = { 'Retry-After': '3', 'Access-Control-Expose-Headers': 'Retry-After' };
    await fails({ kind: 'status', status: 429, headers });
    await fails({ path: WEIGHTS, kind: 'status', status: 429 });
    const waits: (number | null)[] = [];
    const set = await worker().request(
      'open',
      { source: source() },
      { onEvent: ({ waiting }) => waiting && waits.push(waiting.milliseconds) },
    );
    expect(set.pauses).toEqual([3000, 1000]);
    expect(waits).toEqual([3000, 1000]);
  });

  test('for good with 429 says so', async () => {
    await fails({ kind: 'status', status: 429, times: 50 });
    await expect(worker().request('open', { source: source() })).rejects.toMatchObject({
      code: 'rate-limited',
    });
  });

  test('by not being there is told from a missing model', async () => {
    const nowhere: HubSource = { ...source(), host: 'http://127.0.0.1:9' };
    await expect(worker().request('open', { source: nowhere })).rejects.toMatchObject({
      code: 'offline',
      message: expect.stringContaining('127.0.0.1:9') as string,
    });
  });
});
