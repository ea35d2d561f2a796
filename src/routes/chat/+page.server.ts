import { readDigest } from '$lib/server/recorded';

export async function load() {
  return { share: (await readDigest())?.run.share ?? null };
}
