import { readDigest, readLabBytes } from '$lib/server/bundled';

export async function load() {
  return { share: (await readDigest())?.run.share ?? null, labBytes: await readLabBytes() };
}
