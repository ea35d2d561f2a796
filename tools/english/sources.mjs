// The prompts that guard-en and judge-en are taught on beside the training set, as data.py reads them.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = fileURLToPath(new URL('sources/', import.meta.url));

/**
 * By file: the lines, each one prompt (with or without a label before it) or a pair of twins (harmful,
 * borderline).
 * @returns {Map<string, string[][]>}
 */
export function taughtPrompts() {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.txt'));
  return new Map(
    files.map((name) => {
      const lines = readFileSync(join(FOLDER, name), 'utf8').split('\n');
      const prompts = lines.filter((line) => line.trim() !== '' && !line.startsWith('#'));
      return [name, prompts.map((line) => line.replace(/^[hbo]\t/, '').split(' || '))];
    }),
  );
}
