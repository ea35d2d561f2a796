/** What tests of the workers on bundled models share. */
import { expect, test } from 'vitest';

export const baseUrl = new URL('/', location.href).href;
export const bundled = (name: string) => ({ kind: 'bundled', name }) as const;

export async function floats(url: string): Promise<Float32Array> {
  return new Float32Array(await (await fetch(url)).arrayBuffer());
}

/** The last test of a file. */
export function expectNothingElsewhere(): void {
  test('nothing was fetched from elsewhere', () => {
    const names = performance.getEntriesByType('resource').map(({ name }) => name);
    expect(names.filter((name) => !name.startsWith(location.origin))).toEqual([]);
  });
}
