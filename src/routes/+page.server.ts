import { readDigest, readLabBytes } from '$lib/server/bundled';

export async function load() {
  return { recorded: await readDigest(), labBytes: await readLabBytes() };
}
