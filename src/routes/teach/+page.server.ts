import { readLabBytes } from '$lib/server/bundled';

export async function load() {
  return { labBytes: await readLabBytes() };
}
