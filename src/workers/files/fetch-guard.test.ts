// Node's own Request and Response; what browsers do with redirects is in files/hub.browser.test.ts.
import { describe, expect, test } from 'vitest';
import { DEFAULT_HUB } from '../../formats/model-source';
import { ForeignAddressError, hubFetch, restrictFetch, servesFilesOf } from './fetch-guard';

/** A worker's scope; `answers` says where a request ends after redirects. */
function scopeOf(answers: (url: string) => string = (url) => url) {
  const asked: string[] = [];
  const scope = {
    location: new URL('https://retort.example/_app/worker.js') as unknown as Location,
    fetch: async (input: RequestInfo | URL) => {
      const url = input instanceof Request ? input.url : String(input);
      asked.push(url);
      const response = new Response('ok');
      Object.defineProperty(response, 'url', { value: answers(url) });
      return response;
    },
  };
  return { scope, asked };
}

describe('restrictFetch', () => {
  test('lets our own origin through and refuses any other, the hub included', async () => {
    const { scope, asked } = scopeOf();
    restrictFetch(scope);
    expect((await scope.fetch('/models/x.json')).ok).toBe(true);
    expect((await scope.fetch('https://retort.example/y')).ok).toBe(true);
    await expect(scope.fetch('https://example.com/x')).rejects.toThrow(ForeignAddressError);
    await expect(scope.fetch(new Request('https://example.com/y'))).rejects.toThrow('example.com');
    await expect(scope.fetch(`${DEFAULT_HUB}/a/b`)).rejects.toThrow(ForeignAddressError);
    await expect(scope.fetch('https://retort.example.evil/x')).rejects.toThrow('evil');
    expect(asked).toEqual(['/models/x.json', 'https://retort.example/y']);
  });
});

describe('hubFetch', () => {
  test('reaches its hub in a restricted worker, and no other address', async () => {
    const { scope, asked } = scopeOf();
    restrictFetch(scope);
    const fetchHub = hubFetch(DEFAULT_HUB, scope);
    expect((await fetchHub(`${DEFAULT_HUB}/a/b/resolve/main/config.json`)).ok).toBe(true);
    await expect(fetchHub('https://example.com/x')).rejects.toThrow(ForeignAddressError);
    await expect(fetchHub('https://cdn-lfs.huggingface.co/x')).rejects.toThrow(ForeignAddressError);
    await expect(fetchHub('http://huggingface.co/x')).rejects.toThrow(ForeignAddressError);
    expect(asked).toEqual([`${DEFAULT_HUB}/a/b/resolve/main/config.json`]);
  });

  test('takes files from the hosts that the hub redirects to, and from nobody else', async () => {
    const target = { url: 'https://cas-bridge.xethub.hf.co/f' };
    const { scope } = scopeOf(() => target.url);
    const fetchHub = hubFetch(DEFAULT_HUB, scope);
    expect((await fetchHub(`${DEFAULT_HUB}/f`)).ok).toBe(true);
    target.url = 'https://tracker.example/f';
    await expect(fetchHub(`${DEFAULT_HUB}/f`)).rejects.toThrow('tracker.example');
  });
});

test.each([
  ['https://huggingface.co/x', true],
  ['https://cdn-lfs-us-1.huggingface.co/x', true],
  ['https://us.aws.cdn.hf.co/x', true],
  ['http://cdn.hf.co/x', false],
  ['https://evilhf.co/x', false],
  ['https://huggingface.co.evil.example/x', false],
  ['https://hf.co.evil.example/x', false],
])('the hub serves files from %s: %s', (address, expected) => {
  expect(servesFilesOf(DEFAULT_HUB, new URL(address))).toBe(expected);
});
