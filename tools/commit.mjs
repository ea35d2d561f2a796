import { execFileSync } from 'node:child_process';

/** Short hash of the checked-out commit, `-dirty` when files differ from it, 'unknown' outside git. */
export function commitHash(cwd = process.cwd()) {
  try {
    /** @param {string[]} args */
    const git = (args) =>
      execFileSync('git', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const hash = git(['rev-parse', '--short=10', 'HEAD']).trim();
    const dirty = git(['status', '--porcelain', '--untracked-files=no']).trim() !== '';
    return dirty ? `${hash}-dirty` : hash;
  } catch {
    return 'unknown';
  }
}
