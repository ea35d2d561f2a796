/** One training run as the lab sees it: from Start to scored and kept. Survives page changes. */
import { isTrained } from '../../../distill/adapters/adapter-spec';
import type { ProbeRecord, Recipe, RunRecord, StepRecord } from '../../../distill/types';
import type { CheckpointSummary, Progress, TrainEvent } from '../../../workers/wire/protocol';
import { isCancelled, problemOf, type Problem } from '../errors';
import { missingEvaluations } from './evaluations';
import { amount, narrate, PHASE_WORDS, summary } from './narration';
import { probeBoard } from './probe-board.svelte';
import { promptSets } from './prompt-sets.svelte';
import { runs } from '../runs.svelte';
import { session } from '../models/session.svelte';
import { type ScoreLimit, scoreRun, type Wanted, wantedWords } from './score-run';
import { templateOf } from '../chat/share';
import { WakeLock } from './wake-lock';

export type TrainingState =
  'idle' | 'loading' | 'running' | 'paused' | 'stopping' | 'scoring' | 'done' | 'failed';

export type { ScoreLimit } from './score-run';

const NARRATE_EVERY_MS = 10_000;

/** The safe system answers what nobody has prepared: a model that a person brings, for instance. */
function isPreparing({ phase }: Progress): boolean {
  return phase === 'guard' || phase === 'sample';
}

class Training {
  state = $state<TrainingState>('idle');
  /** The recipe of the present or last run. */
  recipe = $state.raw<Recipe | null>(null);
  steps = $state.raw<StepRecord[]>([]);
  probes = $state.raw<ProbeRecord[]>([]);
  tokensPerSecond = $state(0);
  secondsLeft = $state(0);
  gpuBytes = $state(0);
  run = $state.raw<RunRecord | null>(null);
  problem = $state.raw<Problem | null>(null);
  /** What a screen reader is told, politely and seldom. */
  announcement = $state('');
  /** The name of the set that is measured on. */
  scoring = $state<string | null>(null);

  /** How far the safe system's answers are, a few batches before the step that needs them; null else. */
  preparing = $state.raw<Progress | null>(null);

  /** Why the run under way could not be kept for another visit, in a sentence. */
  unkept = $state<string | null>(null);

  /** A run that was cut off by closing the tab, and can go on. */
  checkpoint = $state.raw<CheckpointSummary | null>(null);

  #abort: AbortController | null = null;
  #wakeLock = new WakeLock();
  #narrator: ReturnType<typeof setInterval> | undefined;
  #ended: Promise<void> = Promise.resolve();

  get busy(): boolean {
    return ['loading', 'running', 'paused', 'stopping', 'scoring'].includes(this.state);
  }

  /** Starts a run; with `single`, it pauses at once and makes its first step. */
  start(recipe: Recipe, limit: ScoreLimit, single = false): Promise<void> {
    if (this.busy) return this.#ended;
    this.#ended = this.#runAll(recipe, limit, { single, resume: false });
    return this.#ended;
  }

  /** Measures a kept run on the sets that it lacks. */
  measure(run: RunRecord, limit: ScoreLimit): Promise<void> {
    if (this.busy) return this.#ended;
    this.#ended = this.#measure(run, () => Promise.resolve(missingEvaluations(run)), limit);
    return this.#ended;
  }

  /** Measures a kept run on an imported set, sampled. */
  measureOn(run: RunRecord, hash: string, name: string, limit: ScoreLimit): Promise<void> {
    if (this.busy) return this.#ended;
    const wanted = async (): Promise<Wanted[]> => [
      { set: 'custom', temperature: 1, imported: await promptSets.byHash(hash, name) },
    ];
    this.#ended = this.#measure(run, wanted, limit);
    return this.#ended;
  }

  /** Asks whether a run was under way when the tab was last closed. */
  async findCheckpoint(): Promise<void> {
    if (this.busy) return;
    const found = await session.trainer('checkpoint', null).catch(() => null);
    // A run that has started meanwhile writes its own.
    if (!this.busy) this.checkpoint = found;
  }

  /** Goes on with that run. */
  resumeCheckpoint(limit: ScoreLimit): Promise<void> {
    const { checkpoint } = this;
    if (this.busy || !checkpoint) return this.#ended;
    this.#ended = this.#runAll(checkpoint.recipe, limit, { single: false, resume: true });
    return this.#ended;
  }

  async pause(): Promise<void> {
    await this.#tell('pause');
  }

  async resume(): Promise<void> {
    await this.#tell('resume');
  }

  async step(): Promise<void> {
    await this.#tell('step');
  }

  /** Ends the run and keeps what it has learned. Before the first step it only cancels. */
  async stop(): Promise<void> {
    if (this.state === 'loading' || this.state === 'scoring' || this.preparing) {
      this.#abort?.abort();
    } else if (this.state === 'running' || this.state === 'paused') {
      this.state = 'stopping';
      await this.#tell('stop');
    }
    await this.#ended;
  }

  /** Stops what runs, keeps nothing of it, and starts over with another recipe. */
  async restart(recipe: Recipe, limit: ScoreLimit): Promise<void> {
    this.#abort?.abort();
    await this.#ended;
    await this.start(recipe, limit);
  }

  async #tell(name: 'pause' | 'resume' | 'step' | 'stop'): Promise<void> {
    try {
      await session.trainer(name, null);
    } catch (error) {
      if (!isCancelled(error)) this.problem = problemOf(error);
    }
  }

  async #runAll(
    recipe: Recipe,
    limit: ScoreLimit,
    { single, resume }: { single: boolean; resume: boolean },
  ): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    this.recipe = $state.snapshot(recipe);
    this.steps = [];
    this.probes = [];
    this.run = null;
    this.problem = null;
    this.checkpoint = null;
    this.unkept = null;
    this.tokensPerSecond = this.secondsLeft = this.gpuBytes = 0;
    session.clearPhases();
    this.#enter('loading', 'Loading.');
    try {
      const { data } = recipe;
      const imported = data && (await promptSets.byHash(data.hash, data.name));
      session.use(recipe);
      session.held = true;
      const objective = isTrained(recipe.adapter) ? recipe.objective : null;
      await Promise.all([session.loadToTrain(objective, abort.signal), runs.load()]);
      abort.signal.throwIfAborted();
      await this.#wakeLock.acquire();
      const trained = session.trainer(
        'train',
        { recipe: $state.snapshot(recipe), resume, ...(imported && { imported }) },
        { signal: abort.signal, onEvent: (event) => this.#take(event) },
      );
      // Awaited below; until then a failure must not count as unhandled.
      trained.catch(() => undefined);
      this.#enter('running', 'Training started.');
      if (single) {
        await this.pause();
        await this.step();
      }
      this.run = await trained;
      await runs.save(this.run);
      this.#wakeLock.release();
      await this.#score(missingEvaluations(this.run), limit, abort.signal);
    } catch (error) {
      this.#endWith(error, abort.signal);
    } finally {
      session.held = false;
      this.#wakeLock.release();
      this.scoring = null;
    }
  }

  async #measure(
    run: RunRecord,
    wanted: () => Promise<readonly Wanted[]>,
    limit: ScoreLimit,
  ): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    this.recipe = run.recipe;
    this.steps = run.steps;
    this.probes = run.probes;
    this.run = run;
    this.problem = null;
    session.clearPhases();
    this.#enter('loading', 'Loading.');
    try {
      const sets = await wanted();
      session.use(run.recipe);
      session.held = true;
      await session.load(['trainer', 'guard', 'judge'], abort.signal);
      // A run that an earlier version of the site has kept may be of an earlier student.
      session.requireModel(run.modelId, templateOf(run.share));
      await this.#score(sets, limit, abort.signal);
    } catch (error) {
      this.#endWith(error, abort.signal);
    } finally {
      session.held = false;
      this.scoring = null;
    }
  }

  async #score(sets: readonly Wanted[], limit: ScoreLimit, signal: AbortSignal): Promise<void> {
    for (const wanted of sets) {
      const { set, how } = wantedWords(wanted);
      this.scoring = set;
      this.#enter('scoring', `Measuring all four systems on the ${set} set${how}.`);
      this.run = await scoreRun(this.run!, wanted, limit, signal);
      await runs.save(this.run);
    }
    this.#enter('done', summary(this.run!));
  }

  /** What a run or a measurement ends in, where it is not done. */
  #endWith(error: unknown, { aborted }: AbortSignal): void {
    if (isCancelled(error) || aborted) {
      this.#enter(this.run ? 'done' : 'idle', 'Stopped.');
      return;
    }
    this.problem = problemOf(error);
    this.#enter('failed', `${this.problem.title}. ${this.problem.message}`);
    // What was kept before may be gone on with, without a reload.
    if (!this.run) void this.findCheckpoint();
  }

  #take(event: TrainEvent): void {
    switch (event.kind) {
      case 'progress':
        this.preparing = isPreparing(event.progress) ? event.progress : null;
        session.report('trainer', event.progress);
        return;
      case 'step':
        this.preparing = null;
        this.steps = [...this.steps, event.record];
        this.tokensPerSecond = event.tokensPerSecond;
        this.secondsLeft = event.secondsLeft;
        this.gpuBytes = event.gpuBytes;
        return;
      case 'kept':
        this.unkept = event.problem;
        return;
      case 'probe':
        this.preparing = null;
        this.probes = [...this.probes, event.record];
        if (this.recipe) void probeBoard.fill(event.record.samples, this.recipe);
        return;
      case 'state':
        if (this.state !== 'stopping') this.#enter(event.state, `Training is ${event.state}.`);
        return;
      default:
        event satisfies never;
    }
  }

  #narrate(): string {
    const { preparing } = this;
    if (preparing) return `${PHASE_WORDS[preparing.phase]}: ${amount(preparing)}.`;
    return narrate(this.steps, this.probes.at(-1), this.recipe?.steps ?? 0);
  }

  #enter(state: TrainingState, words: string): void {
    this.state = state;
    this.announcement = words;
    if (state !== 'running' && state !== 'paused') this.preparing = null;
    clearInterval(this.#narrator);
    if (state === 'running') {
      this.#narrator = setInterval(() => {
        this.announcement = this.#narrate();
      }, NARRATE_EVERY_MS);
    }
  }
}

export const training = new Training();
