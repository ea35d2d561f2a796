/** The vectors that a link stands for; a small form's are made by the student that is loaded. */
import type { SharedPrompt } from '../../../formats/share/share-link';
import { session } from '../models/session.svelte';

export async function vectorsOf(shared: SharedPrompt, signal?: AbortSignal): Promise<Float32Array> {
  if (!shared.small) return shared.values;
  return session.trainer('vectors', { shared }, signal ? { signal } : {});
}
