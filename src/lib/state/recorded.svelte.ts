/** The recorded run with all its answers; fetched once, when a page first needs more than scores. */
import { RECORDING } from './models/bundle';
import { parseRecording, type RecordedRun } from './run-json';

class Recorded {
  run = $state.raw<RecordedRun | null>(null);
  #loading: Promise<void> | null = null;

  load(root: string): Promise<void> {
    return (this.#loading ??= this.#read(root));
  }

  async #read(root: string): Promise<void> {
    try {
      const response = await fetch(root + RECORDING);
      if (!response.ok) throw new Error(`The recording is missing (status ${response.status}).`);
      this.run = parseRecording(await response.text());
    } catch {
      // Pages go on with the digest in their HTML; asking again may succeed.
      this.#loading = null;
    }
  }
}

export const recorded = new Recorded();
