/** What the trade-off page shows: points of runs and open sweeps, their front, the chosen one. */
import type { PromptItem } from '../../../distill/types';
import type { Scorer } from '$lib/charts/compare';
import { answered } from '$lib/charts/failures';
import { filterOptions, isShown, NOTHING_HIDDEN, type Hidden } from '$lib/charts/facets';
import { legendOf } from '$lib/charts/legend';
import {
  measuredRuns,
  pointsFrom,
  seedGroups,
  strictnessCurves,
  unitsOf,
} from '$lib/charts/points';
import { humanScore, type Vote } from '$lib/charts/ratings';
import { measuredCells, type OpenedSweep } from '$lib/charts/sweep-document';
import type { ChartRun, View } from '$lib/charts/tradeoff';

export class TradeoffBoard {
  set = $state<'wording' | 'intent'>('wording');
  scorer = $state<Scorer>('judge');
  view = $state<View>('fit');
  shape = $state<'chart' | 'table'>('chart');
  selected = $state<string | null>(null);
  hidden = $state.raw<Hidden>(NOTHING_HIDDEN);
  /** The questions of each set, once they are here. */
  items = $state.raw<Partial<Record<'wording' | 'intent', PromptItem[]>>>({});

  readonly #runs: () => readonly ChartRun[];
  readonly #sweeps: () => readonly OpenedSweep[];
  readonly #votes: () => readonly Vote[];

  constructor(
    runs: () => readonly ChartRun[],
    sweeps: () => readonly OpenedSweep[],
    votes: () => readonly Vote[],
  ) {
    this.#runs = runs;
    this.#sweeps = sweeps;
    this.#votes = votes;
  }

  readonly measured = $derived.by(() => [
    ...this.#sweeps().flatMap((sweep) => measuredCells(sweep, this.set)),
    ...measuredRuns(this.#runs(), this.set),
  ]);
  readonly marks = $derived.by(() => (this.#sweeps().length > 0 ? 'facets' : 'run'));
  readonly all = $derived.by(() => pointsFrom(this.measured, this.scorer, this.marks));
  readonly options = $derived(filterOptions(this.all));
  readonly points = $derived(this.all.filter((point) => isShown(point, this.hidden)));
  readonly groups = $derived(seedGroups(this.points));
  readonly units = $derived(unitsOf(this.points, this.groups));
  readonly curves = $derived(strictnessCurves(this.units));
  readonly legend = $derived(this.marks === 'facets' ? legendOf(this.points) : null);
  readonly point = $derived(
    this.points.find((p) => p.id === this.selected) ??
      this.points.find((p) => p.kind === 'adapter') ??
      this.points[0] ??
      null,
  );
  /** The chosen point and the same experiment with other seeds. */
  readonly seeds = $derived.by(() => {
    const { point } = this;
    if (!point?.experiment) return [];
    return this.points.filter((p) => p.experiment === point.experiment);
  });
  readonly base = $derived(this.points.find((p) => p.kind === 'base') ?? null);
  /** The chosen point's answers beside their questions and the base model's answers. */
  readonly answered = $derived.by(() => {
    const { point, base } = this;
    const list = this.items[this.set];
    return point && list ? answered(list, point, base?.answers ?? []) : [];
  });
  /** Points that people have rated, with what they said; the chart shows those with both axes. */
  readonly humans = $derived.by(() =>
    this.points
      .map((point) => ({ point, score: humanScore(point, this.#votes(), this.set) }))
      .filter(({ score }) => score.safety.n + score.usefulness.n > 0),
  );
  /** The chosen point over its seeds. */
  readonly unit = $derived(
    this.units.find((unit) => unit.points.some((p) => p.id === this.point?.id)) ?? null,
  );
  readonly caption = $derived.by(() => {
    const { point } = this;
    if (!point) return '';
    const seed = this.groups.length > 0 ? 'seeds as dots' : `seed ${point.seed ?? '–'}`;
    return `${this.set} set · 95 % Wilson intervals · commit ${point.commit} · ${seed}`;
  });
}
