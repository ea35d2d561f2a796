import { readDigest } from '$lib/server/recorded';

export async function load() {
  return { recorded: await readDigest() };
}
