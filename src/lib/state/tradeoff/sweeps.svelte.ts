/** Sweep results that were opened from files; they stay until the tab is closed. */
import { SpecError } from '../../../distill/data/spec-fields';
import { MAX_SWEEP_BYTES, openSweep, type OpenedSweep } from '$lib/charts/sweep-document';
import { bytes } from '$lib/charts/format';
import { problemOf, type Problem } from '../errors';

class Sweeps {
  list = $state.raw<OpenedSweep[]>([]);
  reading = $state(false);
  problem = $state.raw<Problem | null>(null);

  /** Opens `file`; what was open stays whatever happens. */
  async open(file: File): Promise<void> {
    this.reading = true;
    this.problem = null;
    try {
      if (file.size > MAX_SWEEP_BYTES) {
        throw new SpecError(
          'results',
          `The file has ${bytes(file.size)}; at most ${bytes(MAX_SWEEP_BYTES)} can be opened here.`,
        );
      }
      const sweep = openSweep(await file.text());
      this.list = [...this.list.filter(({ id }) => id !== sweep.id), sweep];
    } catch (error) {
      this.problem =
        error instanceof SpecError
          ? {
              title: `${file.name} cannot be opened`,
              message: error.message,
              advice: 'A sweep’s results come from “npm run distill -- --sweep” or from the lab.',
            }
          : problemOf(error);
    } finally {
      this.reading = false;
    }
  }

  close(id: string): void {
    this.list = this.list.filter((sweep) => sweep.id !== id);
  }
}

export const sweeps = new Sweeps();
