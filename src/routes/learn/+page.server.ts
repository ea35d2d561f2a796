import { readDigest } from '$lib/server/bundled';

export async function load() {
  return { recorded: await readDigest() };
}
