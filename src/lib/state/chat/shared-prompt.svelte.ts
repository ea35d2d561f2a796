/** A prompt that came as a link: preview from the hash alone, then, when asked for, a real run. */
import { DEFAULT_RECIPE, EVALUATION_SEED } from '../../../distill/train/recipe';
import { base } from '$app/paths';
import type { Evaluation } from '../../../distill/types';
import type { Progress } from '../../../workers/wire/protocol';
import { siteRoot } from '../models/bundle';
import { studentOfSite } from '../models/model-options';
import { isCancelled, problemOf, type Problem } from '../errors';
import { runs } from '../runs.svelte';
import { session } from '../models/session.svelte';
import { openShare, shareProblem, type OpenedShare } from './share';
import { vectorsOf } from './vectors';

export type SharedState = 'none' | 'preview' | 'loading' | 'ready' | 'checking';

/** Prompts of each label in a re-check: enough for an interval, few enough to wait for. */
export const RECHECK_LIMIT = 60;

class SharedPromptState {
  state = $state<SharedState>('none');
  opened = $state.raw<OpenedShare | null>(null);
  problem = $state.raw<Problem | null>(null);
  evaluation = $state.raw<Evaluation | null>(null);
  progress = $state.raw<Progress | null>(null);
  announcement = $state('');
  #abort: AbortController | null = null;

  /** Decodes the hash; downloads nothing and runs nothing. */
  open(hash: string): void {
    this.#abort?.abort();
    this.#abort = null;
    this.evaluation = null;
    this.problem = null;
    this.opened = null;
    this.state = 'none';
    try {
      this.opened = openShare(hash);
      this.state = 'preview';
    } catch (error) {
      this.problem = shareProblem(error);
    }
  }

  async load(): Promise<void> {
    const { opened } = this;
    if (!opened) return;
    await this.#work('loading', async (signal) => {
      await runs.load();
      // A link names its model by an id alone; a run of this browser may know where it came from.
      const { modelId, templateHash } = opened.shared;
      const known = runs.list.find((run) => run.modelId === modelId)?.recipe.student;
      session.use({ student: known ?? studentOfSite(modelId) ?? DEFAULT_RECIPE.student });
      await session.load(['student', 'guard', 'judge', 'trainer'], signal);
      session.requireModel(modelId, templateHash);
      signal.throwIfAborted();
      this.announcement = 'Loaded.';
    });
  }

  /** Measures the prompt on this device, on a part of the wording set. */
  async recheck(): Promise<void> {
    const { opened } = this;
    if (!opened) return;
    await this.#work('checking', async (signal) => {
      const evaluation = await session.trainer(
        'evaluate',
        {
          set: 'wording',
          systems: ['base', 'guarded', 'adapter'],
          temperature: 1,
          seed: EVALUATION_SEED,
          values: (await vectorsOf(opened.shared, signal)).slice(),
          recipe: opened.recipe,
          limit: RECHECK_LIMIT,
        },
        { signal, onEvent: (progress) => (this.progress = progress) },
      );
      signal.throwIfAborted();
      this.evaluation = evaluation;
      this.announcement = 'Measured here.';
    });
  }

  /** Keeps the prompt with what was measured, so that it appears in the lab and on the chart. */
  async keep(): Promise<void> {
    const { opened } = this;
    if (!opened) return;
    const { shared, recipe, text } = opened;
    await runs.load();
    await runs.save({
      id: `link-${text.slice(-12)}`,
      createdAt: new Date().toISOString(),
      recipe,
      modelId: shared.modelId,
      environment: {
        commit: __COMMIT__,
        version: '',
        runtime: 'opened from a link',
        adapter: session.engine?.gpu.description ?? '',
        software: session.engine?.gpu.isFallbackAdapter ?? false,
      },
      steps: [],
      probes: [],
      values: await vectorsOf(shared),
      dim: shared.d,
      evaluations: this.evaluation ? [this.evaluation] : [],
      seconds: {},
      share: text,
      status: 'finished',
    });
    this.announcement = 'Kept in this browser.';
  }

  cancel(): void {
    this.#abort?.abort();
  }

  get root(): string {
    return siteRoot(base);
  }

  async #work(state: 'loading' | 'checking', job: (signal: AbortSignal) => Promise<void>) {
    const before = this.state;
    const abort = new AbortController();
    this.#abort = abort;
    this.state = state;
    this.problem = null;
    this.progress = null;
    try {
      await job(abort.signal);
      this.state = 'ready';
    } catch (error) {
      // Another link has been opened meanwhile: its state is its own.
      if (this.#abort !== abort) return;
      this.state = before;
      if (!isCancelled(error)) this.problem = problemOf(error);
    }
  }
}

export const sharedPrompt = new SharedPromptState();
