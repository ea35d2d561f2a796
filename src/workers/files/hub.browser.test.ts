// Hub models in real workers and the real OPFS, against the hub of tests/hub-server.mjs.
import { describe, expect, test } from 'vitest';
import type { Progress } from '../wire/protocol';
import {
  clients,
  COMMIT,
  fails,
  FILES,
  log,
  renameRepo,
  repo,
  serveRepo,
  source,
  useHub,
  WEIGHT_BYTES,
  WEIGHTS,
  weightRequests,
  weights,
  worker,
} from './hub.testing';
import { deleteStored, findStored, listStored } from './stored';

useHub();

describe('a hub model', () => {
  test('is downloaded once, checked, pinned to its commit, and then opened without a request', async () => {
    const seen: Progress[] = [];
    const first = await worker().request(
      'open',
      { source: source() },
      { onEvent: (event) => seen.push(event) },
    );
    expect(first).toMatchObject({
      label: repo,
      revision: COMMIT,
      fromCache: false,
      stored: 'opfs',
      pauses: [],
    });
    expect(first.id).toMatch(/^[0-9a-f]{16}$/);
    expect(Object.keys(first.files)).toEqual([
      'config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      WEIGHTS,
    ]);
    expect(await clients[0]!.request('read', WEIGHTS)).toEqual(await weights());
    const downloads = seen.filter(({ phase }) => phase === 'download');
    expect(downloads.at(-1)).toMatchObject({ done: first.bytes, total: first.bytes });
    expect(await weightRequests()).toEqual(['200']);

    const before = (await log()).length;
    const phases = new Set<string>();
    const second = await worker().request(
      'open',
      { source: source() },
      { onEvent: ({ phase }) => phases.add(phase) },
    );
    expect(second).toEqual({ ...first, fromCache: true });
    expect([...phases]).toEqual(['verify']);
    expect(await clients[1]!.request('read', WEIGHTS)).toEqual(await weights());
    // The same commit by its own name asks nobody either.
    expect((await worker().request('open', { source: source('q4', COMMIT) })).id).toBe(first.id);
    expect(await log()).toHaveLength(before);
  });

  test('opened by two workers at once is downloaded once', async () => {
    const waits: string[] = [];
    const onEvent = ({ waiting }: Progress) => waiting && waits.push(waiting.for);
    const both = await Promise.all(
      [worker(), worker()].map((each) => each.request('open', { source: source() }, { onEvent })),
    );
    expect(both.map(({ fromCache }) => fromCache).sort()).toEqual([false, true]);
    expect(both[0]!.id).toBe(both[1]!.id);
    expect(waits).toEqual(['other-download']);
    expect(await weightRequests()).toEqual(['200']);
  });

  test('comes with all its external data, and says which is missing', async () => {
    const family = 'families/llama3-packed-f16';
    const files = {
      ...FILES,
      'onnx/model_q4f16.onnx': { fixture: `${family}/model.onnx` },
      'onnx/model_q4f16.onnx_data': { fixture: `${family}/model_q4f16.onnx_data` },
      'onnx/model_q4f16.onnx_data_1': { fixture: `${family}/model_q4f16.onnx_data_1` },
    };
    await serveRepo({ files });
    await expect(worker().request('open', { source: source('q4f16') })).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('onnx/model_q4f16.onnx_data_2') as string,
    });
    renameRepo('-whole');
    await serveRepo({
      files: {
        ...files,
        'onnx/model_q4f16.onnx_data_2': { fixture: `${family}/model_q4f16.onnx_data_2` },
      },
    });
    const set = await worker().request('open', { source: source('q4f16') });
    expect(set.files).toMatchObject({
      'onnx/model_q4f16.onnx': 18_564,
      'onnx/model_q4f16.onnx_data': 11_392,
      'onnx/model_q4f16.onnx_data_1': 17_280,
      'onnx/model_q4f16.onnx_data_2': 19_624,
    });
    expect(Object.keys(set.files)).toHaveLength(7);
  });

  test.each([true, false])(
    'comes with external data under the name that its weights say (with an API: %s)',
    async (hasApi) => {
      const data = { fixture: 'onnx/rotary.onnx.data' };
      const { [WEIGHTS]: _, ...others } = FILES;
      const files = {
        ...others,
        [WEIGHTS]: { fixture: 'onnx/rotary.onnx' },
        // What it is called is a guess, and wrong here.
        [`${WEIGHTS}_data`]: { text: 'of another file' },
      };
      await serveRepo({ files, hasApi });
      await expect(worker().request('open', { source: source() })).rejects.toMatchObject({
        code: 'not-found',
        message: `The model ${repo} has no file onnx/model.onnx.data, where ${WEIGHTS} keeps its weights.`,
      });
      renameRepo('-whole');
      await serveRepo({ files: { ...files, 'onnx/model.onnx.data': data }, hasApi });
      const set = await worker().request('open', { source: source() });
      const paths = Object.keys(set.files).filter((path) => path.startsWith('onnx/'));
      expect(paths.sort()).toEqual(['onnx/model.onnx.data', WEIGHTS]);
      const before = (await log()).length;
      const again = await worker().request('open', { source: source() });
      expect(again).toMatchObject({ id: set.id, fromCache: true, files: set.files });
      expect(await log()).toHaveLength(before);
    },
  );

  test('can be had from a server that only has files: hashes come from LFS pointers', async () => {
    await serveRepo({ hasApi: false });
    const client = worker();
    const set = await client.request('open', { source: source() });
    expect(set).toMatchObject({ revision: COMMIT, stored: 'opfs' });
    expect(set.files[WEIGHTS]).toBe(WEIGHT_BYTES);
    await client.request('close', null);
    await deleteStored((await listStored())[0]!.key);
    // The hash was pinned: another file under the same commit is refused.
    await fails({ path: WEIGHTS, kind: 'alter', times: 9 });
    await expect(worker().request('open', { source: source() })).rejects.toMatchObject({
      code: 'integrity',
    });
  });

  test('is handed from worker to worker without another download', async () => {
    const [first, second] = [worker(), worker()];
    const opened = await first.request('open', { source: source() });
    const shared = await first.request('share', null);
    const adopted = await second.request('adopt', shared);
    expect(adopted).toEqual({ ...opened, pauses: [] });
    expect(await second.request('read', WEIGHTS)).toEqual(await weights());
  });
});

describe('what is stored', () => {
  test('is listed with its bytes, found by name, not deleted while open, and deleted', async () => {
    const client = worker();
    const { bytes } = await client.request('open', { source: source() });
    expect(await listStored()).toEqual([
      expect.objectContaining({ repo, commit: COMMIT, bytes, totalBytes: bytes, complete: true }),
    ]);
    const found = await findStored(source());
    expect(found).toMatchObject({ repo, revisions: ['main'], dtype: 'q4' });
    await expect(deleteStored(found!.key)).rejects.toMatchObject({ name: 'StoredModelInUseError' });
    await client.request('close', null);
    await deleteStored(found!.key);
    expect(await listStored()).toEqual([]);
    expect(await findStored(source())).toBeNull();
    const root = await navigator.storage.getDirectory();
    const names: string[] = [];
    for await (const name of (await root.getDirectoryHandle('retort-models')).keys()) {
      names.push(name);
    }
    expect(names).toEqual([]);
  });

  test('and has gone bad is fetched again', async () => {
    const client = worker();
    const { id } = await client.request('open', { source: source() });
    const { key } = (await findStored(source()))!;
    const root = await navigator.storage.getDirectory();
    const folder = await (await root.getDirectoryHandle('retort-models')).getDirectoryHandle(key);
    const handle = await folder.getFileHandle(encodeURIComponent(WEIGHTS));
    const writable = await handle.createWritable({ keepExistingData: true });
    await writable.write({ type: 'write', position: 1000, data: new Uint8Array([1, 2, 3, 4]) });
    await writable.close();
    const again = await worker().request('open', { source: source() });
    expect(again).toMatchObject({ id, fromCache: false });
    expect(await weightRequests()).toEqual(['200', '200']);
  });
});

describe('a full disk', () => {
  test('is noticed before the download: the model is opened from memory, and not kept', async () => {
    const set = await worker().request('open', { source: source(), freeBytes: 100_000 });
    expect(set).toMatchObject({ stored: 'memory', fromCache: false });
    expect(await clients[0]!.request('read', WEIGHTS)).toEqual(await weights());
    expect(await findStored(source())).toMatchObject({ bytes: 0, complete: false });
    // With room again it is kept.
    expect((await worker().request('open', { source: source() })).stored).toBe('opfs');
  });

  test('in the middle of a download moves it to memory, without another request', async () => {
    const set = await worker().request('open', { source: source(), fullAfter: 120_000 });
    expect(set).toMatchObject({ stored: 'memory', fromCache: false });
    expect(set.files[WEIGHTS]).toBe(WEIGHT_BYTES);
    expect(await clients[0]!.request('read', WEIGHTS)).toEqual(await weights());
    expect(await weightRequests()).toEqual(['200']);
    const { bytes, totalBytes, complete } = (await findStored(source()))!;
    expect(complete).toBe(false);
    expect(bytes).toBe(totalBytes! - WEIGHT_BYTES);
  });
});
