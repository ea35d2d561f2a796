/** Measured distances to the safe system, by run; asked for, because they take a while. */
import type { BoundMeasurement, Recipe, RunRecord } from '../../../distill/types';
import { isCancelled, problemOf, type Problem } from '../errors';
import { session } from '../models/session.svelte';

/** Prompts of each label: of a kept run, and between two steps of one under way. */
const PROMPTS = { kept: 40, live: 8 } as const;
const LIVE = 'live';

class BoundBoard {
  measured = $state.raw<ReadonlyMap<string, BoundMeasurement>>(new Map());
  /** What is being measured: a run's id, or the run under way. */
  busy = $state<string | null>(null);
  progress = $state.raw<{ done: number; total: number } | null>(null);
  problem = $state.raw<Problem | null>(null);

  #abort: AbortController | null = null;

  get live(): BoundMeasurement | null {
    return this.measured.get(LIVE) ?? null;
  }

  get measuringLive(): boolean {
    return this.busy === LIVE;
  }

  /** A kept run, on held-out wordings. */
  measure(run: Pick<RunRecord, 'id' | 'values' | 'recipe' | 'modelId'>): Promise<void> {
    return this.#ask(run.id, run.recipe, run.values.slice(), PROMPTS.kept, run.modelId);
  }

  /** The run under way, as it is. */
  measureLive(recipe: Recipe): Promise<void> {
    return this.#ask(LIVE, recipe, null, PROMPTS.live, null);
  }

  /** A new run is another student. */
  forgetLive(): void {
    // Called from an effect: without a change, nothing may be written.
    if (!this.measured.has(LIVE)) return;
    this.measured = new Map([...this.measured].filter(([id]) => id !== LIVE));
  }

  stop(): void {
    this.#abort?.abort();
  }

  async #ask(
    id: string,
    recipe: Recipe,
    values: Float32Array | null,
    limit: number,
    modelId: string | null,
  ): Promise<void> {
    if (this.busy !== null) return;
    const abort = new AbortController();
    this.#abort = abort;
    this.busy = id;
    this.progress = this.problem = null;
    try {
      if (modelId !== null) {
        session.use(recipe);
        await session.load(['trainer', 'guard', 'judge'], abort.signal);
        session.requireModel(modelId);
      }
      const measured = await session.trainer(
        'bound',
        { set: 'wording', values, recipe: $state.snapshot(recipe), limit },
        {
          signal: abort.signal,
          onEvent: ({ done, total }) => (this.progress = { done, total }),
        },
      );
      this.measured = new Map([...this.measured, [id, measured]]);
    } catch (error) {
      if (!isCancelled(error) && !abort.signal.aborted) this.problem = problemOf(error);
    } finally {
      this.busy = null;
      this.progress = null;
    }
  }
}

export const boundBoard = new BoundBoard();
