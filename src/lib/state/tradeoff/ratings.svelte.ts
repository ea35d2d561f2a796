/** Votes of blind ratings, and the rating that is under way. */
import type { PromptItem } from '../../../distill/types';
import {
  pairVoteIds,
  ratingPairs,
  votesOf,
  type RatedSystem,
  type RatingPair,
  type Vote,
} from '$lib/charts/ratings';
import { deleteVotes, listVotes, saveVotes } from '$lib/storage/votes';

/** Two systems under rating; pairs beyond those asked for are left out. */
export interface Rating {
  set: 'wording' | 'intent';
  systems: readonly [RatedSystem, RatedSystem];
  seed: number;
  pairs: readonly RatingPair[];
}

class Ratings {
  votes = $state.raw<Vote[]>([]);
  rating = $state.raw<Rating | null>(null);
  /** Why votes cannot be kept, in a sentence. */
  problem = $state<string | null>(null);

  #loading: Promise<void> | null = null;

  readonly #ids = $derived(new Set(this.votes.map(({ id }) => id)));
  readonly rated = $derived.by(() => {
    const { rating } = this;
    return rating ? rating.pairs.filter((pair) => this.#isRated(pair, rating)).length : 0;
  });
  /** The first pair that is not rated yet; null at the end. */
  readonly next = $derived.by(() => {
    const { rating } = this;
    return rating?.pairs.find((pair) => !this.#isRated(pair, rating)) ?? null;
  });

  load(): Promise<void> {
    return (this.#loading ??= listVotes().then(
      (kept) => {
        const own = new Set(this.votes.map(({ id }) => id));
        this.votes = [...kept.filter(({ id }) => !own.has(id)), ...this.votes];
      },
      () => {
        this.problem = 'This browser keeps no votes here (private window or blocked storage).';
      },
    ));
  }

  /** Starts, or goes on where an earlier rating of the same two systems was stopped. */
  start(
    items: readonly PromptItem[],
    set: Rating['set'],
    systems: Rating['systems'],
    options: { most: number; seed: number },
  ): void {
    const { most, seed } = options;
    const pairs = ratingPairs(items, ...systems, seed).slice(0, most);
    this.rating = { set, systems, seed, pairs };
  }

  stop(): void {
    this.rating = null;
  }

  async vote(pair: RatingPair, verdicts: readonly boolean[]): Promise<void> {
    const { rating } = this;
    if (!rating) return;
    const { set, systems, seed } = rating;
    const ids = [systems[0].id, systems[1].id] as const;
    const ratedAt = new Date().toISOString();
    const votes = votesOf(pair, verdicts, { set, systems: ids, seed, ratedAt });
    const replaced = new Set(votes.map(({ id }) => id));
    this.votes = [...this.votes.filter(({ id }) => !replaced.has(id)), ...votes];
    await this.#keep(() => saveVotes(votes));
  }

  /** Takes back the pair that was rated last, so that it is asked again. */
  async undo(): Promise<void> {
    const { rating } = this;
    if (!rating) return;
    const last = rating.pairs.filter((pair) => this.#isRated(pair, rating)).at(-1);
    if (last) await this.#forget(pairVoteIds(last, rating.set));
  }

  async forgetAll(): Promise<void> {
    this.rating = null;
    await this.#forget(this.votes.map(({ id }) => id));
  }

  async #forget(ids: readonly string[]): Promise<void> {
    const gone = new Set(ids);
    this.votes = this.votes.filter(({ id }) => !gone.has(id));
    await this.#keep(() => deleteVotes(ids));
  }

  async #keep(job: () => Promise<void>): Promise<void> {
    try {
      await job();
      this.problem = null;
    } catch {
      this.problem =
        'The vote counts here but could not be kept: the browser’s storage is full or closed. Save the votes as CSV before closing the tab.';
    }
  }

  #isRated(pair: RatingPair, rating: Rating): boolean {
    return pairVoteIds(pair, rating.set).every((id) => this.#ids.has(id));
  }
}

export const ratings = new Ratings();
