/** One answer token by token, from the student that is loaded; nothing is loaded unasked. */
import type { Trained as Kept } from '../../../distill/adapters/kept-values';
import type { SharedPrompt } from '../../../formats/share/share-link';
import type { TokenView } from '../../../workers/trainer/token-view';
import type { TradeoffPoint } from '$lib/charts/tradeoff';
import { isCancelled, problemOf, type Problem } from '../errors';
import { runs } from '../runs.svelte';
import { session } from '../models/session.svelte';
import { openShare } from '../chat/share';
import { vectorsOf } from '../chat/vectors';

/** Of a link, `values` may be a small form's: its student makes the vectors. */
export type Trained = Kept & { shared?: SharedPrompt };

/** What a point's tokens can be computed from: a kept run, a sweep's document, or a link. */
export function trainedOf(point: TradeoffPoint): Trained | null {
  const run = point.runId === null ? undefined : runs.find(point.runId);
  if (run) {
    return run.values.length > 0
      ? { modelId: run.modelId, recipe: run.recipe, values: run.values }
      : null;
  }
  if (point.trained) return point.trained;
  if (point.share === null) return null;
  try {
    const { shared, recipe } = openShare(point.share);
    return { modelId: shared.modelId, recipe, values: shared.values, shared };
  } catch {
    // A document may hold a link that another version wrote.
    return null;
  }
}

export interface AskedTokens {
  prompt: string;
  answer: string;
  /** The base model's answer, where there is one. */
  other: string | null;
  system: string;
}

class TokenViews {
  asked = $state.raw<AskedTokens | null>(null);
  view = $state.raw<TokenView | null>(null);
  busy = $state(false);
  problem = $state.raw<Problem | null>(null);

  #abort: AbortController | null = null;

  async load(student: string): Promise<void> {
    await this.#run(async (signal) => {
      session.clearPhases();
      session.use({ student });
      await session.load(['student', 'guard', 'trainer'], signal);
    });
  }

  async open(asked: AskedTokens, trained: Trained): Promise<void> {
    this.#abort?.abort();
    this.asked = asked;
    this.view = null;
    await this.#run(async (signal) => {
      session.requireModel(trained.modelId, trained.shared?.templateHash);
      const { prompt, answer, other } = asked;
      const { recipe, shared } = trained;
      const values = shared ? await vectorsOf(shared, signal) : trained.values;
      const request = { prompt, answer, other, recipe, values: values.slice() };
      const view = await session.trainer('tokens', $state.snapshot(request), { signal });
      if (this.asked === asked) this.view = view;
    });
  }

  close(): void {
    this.#abort?.abort();
    this.asked = null;
    this.view = null;
    this.problem = null;
  }

  async #run(job: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    this.busy = true;
    this.problem = null;
    try {
      await job(abort.signal);
    } catch (error) {
      if (!isCancelled(error)) this.problem = problemOf(error);
    } finally {
      if (this.#abort === abort) this.busy = false;
    }
  }
}

export const tokenViews = new TokenViews();
