/**
 * Reads the recorded run while pages are prerendered, so that home and chart have something to
 * show in the very first HTML, before any script or download.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parsePromptItems } from '../../distill/dataset';
import { RECORDING } from '../state/bundle';
import { digest, parseRecording, type Digest } from '../state/run-json';

/** Null as long as no run has been recorded. */
export async function readDigest(): Promise<Digest | null> {
  const publicFile = (path: string) => readFile(join(process.cwd(), 'public', path), 'utf8');
  let text: string;
  try {
    text = await publicFile(RECORDING);
  } catch {
    return null;
  }
  return digest(parseRecording(text), parsePromptItems(await publicFile('data/wording.jsonl')));
}
