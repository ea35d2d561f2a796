/**
 * The tab's workers, made when first needed and shared by all pages: engine (trainer), runtime
 * (student), guard and judge. A worker that failed is dropped, so that trying again starts afresh.
 */
import { base } from '$app/paths';
import type { ObjectiveSpec } from '../../../distill/objectives/spec';
import { DEFAULT_RECIPE } from '../../../distill/train/recipe';
import type { Recipe } from '../../../distill/types';
import type {
  EventOf,
  Payload,
  Progress,
  Result,
  TrainerReady,
} from '../../../workers/wire/protocol';
import type {
  GuardRequests,
  GuardRole,
  StudentRequests,
  TrainerRequests,
} from '../../../workers/wire/protocol';
import {
  createGuardClient,
  createStudentClient,
  createTrainerClient,
  type WorkerClient,
} from '../../../workers/client';
import { RefusedError } from '../errors';
import { siteRoot } from './bundle';
import { Loads } from './loads';
import { mismatch } from './mismatch';
import { models } from './models.svelte';
import { finishPhases, foldPhase, type PhaseRow, type Source } from '../phases';

/** Fixed token ids on which engine and runtime must agree before anything is trained. */
function parityTokens(vocabSize: number): number[] {
  return Array.from({ length: 24 }, (_, i) => (5 + ((i * 37) % 400)) % vocabSize);
}

/** Which models a page wants: sources as text. */
export type ModelChoice = Pick<Recipe, 'student' | 'guard'>;

interface CallOptions<E> {
  signal?: AbortSignal;
  onEvent?: (event: E) => void;
}

class Session {
  phases = $state.raw<PhaseRow[]>([]);
  engine = $state.raw<TrainerReady | null>(null);
  runtime = $state.raw<Result<StudentRequests, 'load'> | null>(null);
  guards = $state.raw<Partial<Record<GuardRole, Result<GuardRequests, 'load'>>>>({});

  /** What is loaded, or will be. */
  chosen = $state.raw<ModelChoice>({
    student: DEFAULT_RECIPE.student,
    guard: DEFAULT_RECIPE.guard,
  });
  /** A run is under way: its models may not be replaced. */
  held = false;

  #trainer: WorkerClient<TrainerRequests> | null = null;
  #student: WorkerClient<StudentRequests> | null = null;
  #guards: Partial<Record<GuardRole, WorkerClient<GuardRequests>>> = {};
  readonly #loads = new Loads<Source>({
    open: (source, signal) => this.#open(source, signal),
    cutOff: (source) => this.#end(source),
  });

  get root(): string {
    return siteRoot(base);
  }

  report(source: Source, progress: Progress): void {
    this.phases = foldPhase(this.phases, source, progress);
  }

  clearPhases(): void {
    this.phases = [];
  }

  /**
   * Loads each named worker that is not loaded yet; several at a time. `signal` ends this wait at
   * once, and a load that nobody else waits for.
   */
  async load(sources: readonly Source[], signal?: AbortSignal): Promise<void> {
    await Promise.all(sources.map((source) => this.#loads.wait(source, signal)));
  }

  /**
   * All that a run needs; what training with `objective` compiles is compiled while guards load.
   * Only pages that train ask for it: null where nothing is trained.
   */
  async loadToTrain(objective: ObjectiveSpec | null, signal: AbortSignal): Promise<void> {
    const trainer = this.load(['trainer'], signal).then(() => {
      // Not waited for: a run does not need it, and says by itself what fails.
      if (objective) this.trainer('prepareTraining', { objective }).catch(() => undefined);
    });
    await Promise.all([trainer, this.load(['guard', 'judge'], signal)]);
  }

  /**
   * Makes these the models to load; others are dropped with all their memory. What is not named
   * stays as it is.
   * @returns whether the student is another one now
   * @throws an error for people while a run needs the models that are there
   */
  use(wanted: Partial<ModelChoice>): boolean {
    const { student = this.chosen.student, guard = this.chosen.guard } = wanted;
    // A branch is pinned to its commit when it is opened: both texts name what is there.
    const same = [this.chosen.student, this.engine?.text, this.runtime?.text].includes(student);
    const sameGuard = guard === this.chosen.guard;
    if (same && sameGuard) return false;
    if (this.held) {
      const message = 'A run is under way with other models. Wait for its end, or stop it.';
      throw new RefusedError('bad-input', message);
    }
    if (!same) {
      this.#drop('trainer');
      this.#drop('student');
    }
    if (!sameGuard) this.#drop('guard');
    this.chosen = { student: same ? this.chosen.student : student, guard };
    return !same;
  }

  /**
   * @param templateHash of the chat template that it was trained with, where that is known
   * @throws an error for people where what was trained for model `modelId` would be noise here
   */
  requireModel(modelId: string, templateHash: string | null = null): void {
    const message = mismatch({ modelId, templateHash }, this.engine);
    if (message !== null) throw new RefusedError('unsupported-model', message);
  }

  async trainer<K extends keyof TrainerRequests & string>(
    name: K,
    payload: Payload<TrainerRequests, K>,
    options: CallOptions<EventOf<TrainerRequests, K>> = {},
  ): Promise<Result<TrainerRequests, K>> {
    return this.#trainerClient().request(name, payload, options);
  }

  async student<K extends keyof StudentRequests & string>(
    name: K,
    payload: Payload<StudentRequests, K>,
    options: CallOptions<EventOf<StudentRequests, K>> = {},
  ): Promise<Result<StudentRequests, K>> {
    return this.#studentClient().request(name, payload, options);
  }

  async score(
    guard: GuardRole,
    items: Payload<GuardRequests, 'score'>['items'],
    signal?: AbortSignal,
  ): Promise<Result<GuardRequests, 'score'>> {
    return this.#guardClient(guard).request('score', { items }, signal ? { signal } : {});
  }

  #isLoaded(source: Source): boolean {
    if (source === 'trainer') return this.engine !== null;
    if (source === 'student') return this.runtime !== null;
    return this.guards[source] !== undefined;
  }

  #trainerClient() {
    return (this.#trainer ??= this.#watched('trainer', createTrainerClient()));
  }

  #studentClient() {
    return (this.#student ??= this.#watched('student', createStudentClient()));
  }

  #guardClient(name: GuardRole) {
    return (this.#guards[name] ??= this.#watched(name, createGuardClient(name)));
  }

  /** A worker that dies has lost what it had loaded; it may also find that another one is broken. */
  #watched<T>(source: Source, client: WorkerClient<T>): WorkerClient<T> {
    client.onOtherBroken = (other) => {
      // One that is being loaded has taken the place of the one that broke.
      if (other !== 'datasets' && this.#isLoaded(other)) this.#drop(other);
    };
    client.onEnd = () => {
      this.#lose(source);
      if ((source === 'guard' || source === 'judge') && this.engine) {
        // A trainer that ends before it answers needs no telling.
        this.#trainerClient()
          .request('disconnectGuard', { name: source })
          .catch(() => undefined);
      }
    };
    return client;
  }

  /** What `source` names, ready for use: loaded where it is not, and connected. */
  async #open(source: Source, signal: AbortSignal): Promise<void> {
    try {
      await this.#loadOne(source, signal);
      await this.#connect(source);
      this.phases = finishPhases(this.phases, source);
    } catch (error) {
      this.#clearUnfinished(source);
      throw error;
    }
  }

  async #loadOne(source: Source, signal: AbortSignal): Promise<void> {
    const options = { signal, onEvent: (progress: Progress) => this.report(source, progress) };
    switch (source) {
      case 'student': {
        if (this.runtime) return;
        const client = this.#studentClient();
        const request = models.studentRequest(this.chosen.student, this.root);
        this.runtime = await leavingNothing(
          client,
          client.request('load', { ...request, device: 'auto' }, options),
          signal,
        );
        return;
      }
      case 'guard':
      case 'judge': {
        if (this.guards[source]) return;
        const client = this.#guardClient(source);
        const text = source === 'guard' ? this.chosen.guard : source;
        const request = models.guardRequest(text, this.root);
        const ready = await leavingNothing(
          client,
          client.request('load', { ...request, device: 'auto' }, options),
          signal,
        );
        this.guards = { ...this.guards, [source]: ready };
        return;
      }
      case 'trainer': {
        if (this.engine) return;
        // No parity, no training: the runtime's logits come first.
        await this.#loads.wait('student', signal);
        const tokens = parityTokens(this.runtime?.vocabSize ?? 0);
        const runtimeLogits = await this.student('logits', { tokens, prefix: null }, { signal });
        const client = this.#trainerClient();
        const request = {
          ...models.studentRequest(this.chosen.student, this.root),
          runtimeLogits,
          ...(this.runtime?.shared ? { shared: this.runtime.shared } : {}),
        };
        this.engine = await leavingNothing(
          client,
          client.request('load', request, options),
          signal,
        );
        return;
      }
      default:
        source satisfies never;
    }
  }

  /** Gives the engine a line of its own to guard and judge, as soon as both ends are there. */
  async #connect(source: Source): Promise<void> {
    if (source === 'student') return;
    const names: readonly GuardRole[] = source === 'trainer' ? ['guard', 'judge'] : [source];
    for (const name of names) {
      const ready = this.guards[name];
      if (!this.engine || !ready) continue;
      const { port1, port2 } = new MessageChannel();
      await this.#guardClient(name).request('connect', { port: port1 }, { transfer: [port1] });
      await this.#trainerClient().request(
        'connectGuard',
        { name, port: port2, modelId: ready.modelId },
        { transfer: [port2] },
      );
    }
  }

  /** Drops a worker with all its memory; whoever waits for it hears that it was cancelled. */
  #drop(source: Source): void {
    this.#loads.forget(source);
    this.#lose(source);
    this.#end(source);
  }

  #end(source: Source): void {
    if (source === 'trainer') this.#trainer?.terminate();
    else if (source === 'student') this.#student?.terminate();
    else this.#guards[source]?.terminate();
  }

  #lose(source: Source): void {
    this.#loads.lose(source);
    this.#clearUnfinished(source);
    if (source === 'trainer') this.engine = null;
    else if (source === 'student') this.runtime = null;
    else this.guards = { ...this.guards, [source]: undefined };
  }

  #clearUnfinished(source: Source): void {
    this.phases = this.phases.filter((row) => row.source !== source || row.state === 'done');
  }
}

/**
 * A load that fails ends its worker, and with it what was half opened there. After its signal the
 * worker may be another load's already.
 */
async function leavingNothing<T, R>(
  client: WorkerClient<T>,
  loading: Promise<R>,
  signal: AbortSignal,
): Promise<R> {
  try {
    const opened = await loading;
    signal.throwIfAborted();
    return opened;
  } catch (error) {
    if (!signal.aborted) client.terminate();
    throw error;
  }
}

export const session = new Session();
