import { readLabBytes, readShape } from '$lib/server/bundled';

export async function load() {
  return { labBytes: await readLabBytes(), shape: await readShape() };
}
