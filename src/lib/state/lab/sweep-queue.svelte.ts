/** A sweep that this tab works through, cell by cell; what is finished survives a reload. */
import { parseSweep, planSweep, type SweepSpec } from '../../../distill/sweep/sweep';
import type { SweepDocument } from '../../../distill/sweep/outcome';
import { SpecError } from '../../../distill/data/spec-fields';
import { JsonTextError, parseBoundedJson } from '../../../formats/bounded-json';
import { DEFAULT_RECIPE } from '../../../distill/train/recipe';
import type { SweepEvent } from '../../../workers/wire/protocol';
import { duration } from '$lib/charts/format';
import { isCancelled, problemOf, type Problem } from '../errors';
import { session } from '../models/session.svelte';
import { WakeLock } from './wake-lock';

export type SweepState = 'idle' | 'loading' | 'running' | 'paused';

/** Small enough to be finished while someone watches. */
export const FIRST_SWEEP = `{
  "version": 1,
  "name": "first",
  "base": { "steps": 40 },
  "adapters": ["soft-prompt", "steering", "preamble"],
  "objectives": ["tv", "kl"],
  "seeds": [0],
  "limit": 20
}`;

export interface CellNow {
  id: string;
  index: number;
  total: number;
  /** What the worker does, in a word, and how far it is. */
  phase: string;
  done: number;
  of: number;
}

class SweepQueue {
  state = $state<SweepState>('idle');
  /** What is finished, of the last sweep of this browser. */
  document = $state.raw<SweepDocument | null>(null);
  cell = $state.raw<CellNow | null>(null);
  secondsLeft = $state<number | null>(null);
  problem = $state.raw<Problem | null>(null);
  /** Why what is finished could not be kept for another visit, in a sentence. */
  unkept = $state<string | null>(null);
  /** Said politely to a screen reader. */
  announcement = $state('');

  #abort: AbortController | null = null;
  #wakeLock = new WakeLock();

  get busy(): boolean {
    return this.state !== 'idle';
  }

  /** Looks for a sweep of an earlier visit. */
  async find(): Promise<void> {
    if (this.busy) return;
    const found = await session.trainer('sweepResults', null).catch(() => null);
    if (!this.busy) this.document = found;
  }

  /** Runs what is not finished of `spec`. */
  async start(spec: SweepSpec): Promise<void> {
    if (this.busy) return;
    const abort = new AbortController();
    this.#abort = abort;
    this.problem = null;
    this.unkept = null;
    this.cell = null;
    this.#enter('loading', 'Loading.');
    session.clearPhases();
    try {
      const { guard = DEFAULT_RECIPE.guard, student = DEFAULT_RECIPE.student } = spec.base;
      session.use({ student, guard });
      session.held = true;
      const objective = planSweep(spec).cells.find((cell) => cell.objective)?.objective ?? null;
      await session.loadToTrain(objective, abort.signal);
      abort.signal.throwIfAborted();
      await this.#wakeLock.acquire();
      this.#enter('running', 'The sweep has started.');
      this.document = await session.trainer(
        'sweep',
        { spec },
        { signal: abort.signal, onEvent: (event) => this.#take(event) },
      );
      this.announcement = 'The sweep is finished.';
    } catch (error) {
      if (isCancelled(error) || abort.signal.aborted) {
        this.announcement = 'The sweep was stopped; finished cells are kept.';
      } else {
        this.problem = problemOf(error);
        this.announcement = `${this.problem.title}. ${this.problem.message}`;
      }
      this.document =
        (await session.trainer('sweepResults', null).catch(() => null)) ?? this.document;
    } finally {
      session.held = false;
      this.#wakeLock.release();
      this.state = 'idle';
      this.cell = null;
    }
  }

  async pause(): Promise<void> {
    await session.trainer('pause', null).catch(() => undefined);
  }

  async resume(): Promise<void> {
    await session.trainer('resume', null).catch(() => undefined);
  }

  /** Leaves the cell in work; the others stay finished. */
  stop(): void {
    this.#abort?.abort();
  }

  #take(event: SweepEvent): void {
    switch (event.kind) {
      case 'cell': {
        const { id, index, total, secondsLeft } = event;
        this.cell = { id, index, total, phase: 'prepare', done: 0, of: 0 };
        this.secondsLeft = secondsLeft;
        this.announcement = `Cell ${index + 1} of ${total}${
          secondsLeft === null ? '' : `, about ${duration(secondsLeft)} left`
        }.`;
        return;
      }
      case 'progress': {
        const { phase, done, total } = event.progress;
        if (this.cell) this.cell = { ...this.cell, phase, done, of: total };
        return;
      }
      case 'outcome':
        void session
          .trainer('sweepResults', null)
          .then((document) => (this.document = document ?? this.document))
          .catch(() => undefined);
        return;
      case 'kept':
        this.unkept = event.problem;
        return;
      case 'state':
        this.#enter(event.state, `The sweep is ${event.state}.`);
        return;
      default:
        event satisfies never;
    }
  }

  #enter(state: SweepState, words: string): void {
    this.state = state;
    this.announcement = words;
  }
}

export const sweepQueue = new SweepQueue();

/** A specification from text, or what is wrong with it. */
export function readSweep(
  text: string,
): { spec: SweepSpec; cells: number; skipped: number } | { problem: string } {
  try {
    const spec = parseSweep(parseBoundedJson(text));
    const { cells, skipped } = planSweep(spec);
    return { spec, cells: cells.length, skipped: skipped.length };
  } catch (error) {
    if (error instanceof SpecError || error instanceof JsonTextError) {
      return { problem: error.message };
    }
    throw error;
  }
}

/** The specification of a kept document, as text to go on with. */
export function specText(document: SweepDocument): string {
  return JSON.stringify(document.spec, null, 2);
}
