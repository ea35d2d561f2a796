import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTable } from '../../formats/datasets/read';
import { failure } from '../../formats/datasets/testing';
import { addressSource, fileSource, nameOfAddress } from './source';

const CSV = 'prompt,label\nGood day,benign\n';
let server: Server;
let host = '';

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = request.url ?? '';
    if (path.startsWith('/sets/my%20set.csv')) response.end(CSV);
    else if (path === '/large.csv') {
      response.setHeader('content-length', 2 ** 30);
      response.write(CSV);
    } else if (path === '/endless.csv') {
      response.write(CSV);
      const more = () => {
        while (!response.destroyed && response.write('Good day,benign\n'.repeat(4096)));
        if (!response.destroyed) response.once('drain', more);
      };
      more();
    } else response.writeHead(path === '/gated.csv' ? 403 : 404).end('no');
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  host = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const { signal } = new AbortController();

describe('an address', () => {
  it('gives a table, named by the last part of its path', async () => {
    const source = await addressSource(` ${host}/sets/my%20set.csv?download=true `, signal);
    expect(source).toMatchObject({ name: 'my set.csv', size: CSV.length });
    expect((await readTable(source)).rows).toMatchObject([{ cells: ['Good day', 'benign'] }]);
  });

  it('of a gigabyte is refused by what it says of itself', async () => {
    const source = await addressSource(`${host}/large.csv`, signal);
    expect(await failure(readTable(source))).toMatchObject({ code: 'too-large' });
  });

  it('without a length is given up at the limit', async () => {
    const source = await addressSource(`${host}/endless.csv`, signal);
    expect(source.size).toBeNull();
    const limits = { bytes: 2 ** 20, rows: 1e9 };
    expect(await failure(readTable(source, { limits }))).toMatchObject({ code: 'too-large' });
  });

  it.each([
    ['/gated.csv', /asks for permission/],
    ['/nothing.csv', /answers 404/],
  ])('%s says why not', async (path, message) => {
    const { code, message: said } = await failure(addressSource(`${host}${path}`, signal));
    expect(code).toBe('read-failed');
    expect(said).toMatch(message);
  });

  it.each([
    ['set.csv', /no address/],
    ['http://example.org/set.csv', /https/],
    ['file:///set.csv', /https/],
    ['http://127.0.0.1:1/set.csv', /may not read/],
  ])('%s is refused', async (address, message) => {
    expect((await failure(addressSource(address, signal))).message).toMatch(message);
  });

  it.each([
    ['https://a.org/b/c.jsonl?x=1#y', 'c.jsonl'],
    ['https://a.org/b/', 'b'],
    ['https://a.org', 'a.org'],
    ['https://a.org/%E0%A4%A', '%E0%A4%A'],
  ])('%s is called %s', (address, name) => {
    expect(nameOfAddress(new URL(address))).toBe(name);
  });
});

it('a file of this machine is read in pieces', async () => {
  const table = await readTable(fileSource(new File([CSV], 'set.csv')));
  expect(table).toMatchObject({ name: 'set.csv', columns: ['prompt', 'label'] });
});
