/** A download's progress as lines: every tenth once, of what takes longer than a moment. */
import type { Progress } from '../../src/workers/wire/protocol';

/** Smaller downloads are over before a line is read. */
const WORTH_SAYING = 10e6;

export function progressLines(say: (line: string) => void): (progress: Progress) => void {
  let said = 0;
  let isResumeSaid = false;
  return ({ done, total, bytesPerSecond, resumedFrom, waiting }) => {
    // Said by whoever waits.
    if (waiting || total < WORTH_SAYING) return;
    if (resumedFrom !== undefined && !isResumeSaid)
      say(`  ${megabytes(resumedFrom)} are here already.`);
    isResumeSaid = true;
    const tenth = Math.floor((10 * done) / total);
    if (tenth <= said) return;
    said = tenth;
    const speed = bytesPerSecond ? `, ${megabytes(bytesPerSecond)} a second` : '';
    say(`  ${megabytes(done)} of ${megabytes(total)}${speed}`);
  };
}

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
