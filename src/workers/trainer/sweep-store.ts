/** The sweep of this browser: what is finished of it, kept where it outlives the tab. */
import { baseHash, type SweepSpec } from '../../distill/sweep/sweep';
import { emptyResults, mergeResults, parseResults } from '../../distill/sweep/sweep-results';
import { parseOutcome, type SweepDocument } from '../../distill/sweep/outcome';
import { getSweep, putSweep } from './storage';

export class SweepStore {
  /** Where storage is closed, the last sweep lives as long as the tab. */
  private last: SweepDocument | undefined;

  /** @throws what the browser's storage throws; the tab then still has it */
  async keep(results: SweepDocument): Promise<void> {
    this.last = results;
    await putSweep(results);
  }

  /** The sweep that was last under way; what cannot be read is no sweep. */
  async kept(): Promise<SweepDocument | undefined> {
    try {
      return this.last ?? parseResults(await getSweep(), parseOutcome);
    } catch {
      return undefined;
    }
  }

  /** What is finished of `spec`; cells of another base belong to another sweep. */
  async started(spec: SweepSpec): Promise<SweepDocument> {
    const kept = await this.kept();
    return kept && kept.base === baseHash(spec) ? mergeResults(spec, [kept]) : emptyResults(spec);
  }
}
