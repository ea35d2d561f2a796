/** Engine and method behind the protocol: training, evaluation, answers. Glue only. */
import { version } from '../../package.json';
import { type Adaptation, adaptationOf, decoderShape } from '../distill/adaptation';
import type { ChatTokenizer } from '../distill/chat';
import { parseCheckpoint } from '../distill/checkpoint';
import { RunControl } from '../distill/control';
import { limitItems } from '../distill/dataset';
import { evaluate, type SystemAnswers } from '../distill/evaluate';
import { formOf } from '../distill/form';
import { parseRecipe } from '../distill/recipe';
import { distil } from '../distill/run';
import { baseHash, parseSweep, type SweepSpec } from '../distill/sweep';
import { emptyResults, mergeResults, parseResults } from '../distill/sweep-results';
import { parseOutcome, runSweep, studentOf, type SweepDocument } from '../distill/sweep-run';
import type { Guard, Recipe, RunEnvironment } from '../distill/types';
import type { Engine } from '../engine/engine';
import { parseSourceText, sourceText } from '../formats/source-text';
import { GpuLostError } from '../kernels/errors';
import type { Gpu } from '../kernels/gpu';
import { BoundDesk } from './bound-request';
import { loadDomain, loadPrompts, loadShippedPrepared } from './data-files';
import { describeError } from './errors';
import type { ModelFileSet } from './files/open-model';
import { Lock } from './lock';
import { openEngine } from './open-engine';
import { openRequested } from './open-request';
import { checkParity } from './parity';
import type {
  GuardRequests,
  GuardRole,
  ParityReport,
  Progress,
  RuntimeLogits,
  TrainerRequests,
} from './protocol';
import { type Requests, requestsOver, WorkerError } from './requests';
import { restrictFetch } from './runtime';
import { type Endpoint, type Handlers, serve } from './serve';
import { tokenView } from './token-view';
import {
  deleteCheckpoint,
  getCheckpoint,
  getDerived,
  getSweep,
  putCheckpoint,
  putDerived,
  putSweep,
} from './storage';

restrictFetch();

/** Steps between checkpoints: what a crash may cost. */
const CHECKPOINT_EVERY = 10;

interface Student {
  /** Sources as text: as asked for, and pinned to what was opened. */
  asked: string;
  text: string;
  modelId: string;
  baseUrl: string;
  gpu: Gpu;
  engine: Engine;
  chat: ChatTokenizer;
  parity: ParityReport | null;
}

interface ConnectedGuard extends Guard {
  modelId: string;
  requests: Requests<Pick<GuardRequests, 'score'>>;
}

const bounds = new BoundDesk();
let student: Student | null = null;
let control: RunControl | null = null;
/** Where storage is closed, the last sweep lives as long as the tab. */
let lastSweep: SweepDocument | undefined;
const guards: Partial<Record<GuardRole, ConnectedGuard>> = {};

/** Loading, training and evaluating: one after the other. */
const jobs = new Lock();
/** Work on the GPU. Training hands it on between steps, so that a short answer need not wait. */
const gpuTurn = new Lock();

class SharingControl extends RunControl {
  release: () => void = () => undefined;

  override async gate(signal?: AbortSignal): Promise<boolean> {
    this.release();
    try {
      return await super.gate(signal);
    } finally {
      this.release = await gpuTurn.acquire();
    }
  }
}

function loaded(): Student {
  if (!student) throw new RangeError('Load the student first.');
  return student;
}

function connected(role: GuardRole): ConnectedGuard {
  const guard = guards[role];
  if (!guard) throw new RangeError(`Load the ${role} first.`);
  return guard;
}

function environment({ gpu }: Student): RunEnvironment {
  const { vendor, architecture, device, description, isFallbackAdapter } = gpu.description;
  return {
    // Only builds define it, not a test's dev server.
    commit: typeof __COMMIT__ === 'string' ? __COMMIT__ : 'unknown',
    version,
    runtime: navigator.userAgent,
    adapter: [vendor, architecture, device, description].filter(Boolean).join(' '),
    software: isFallbackAdapter,
  };
}

/** What every evaluation needs, that at the end of a run included. */
async function evaluateDeps(signal: AbortSignal) {
  const { engine, chat, modelId, baseUrl } = loaded();
  const guard = connected('guard');
  const judge = connected('judge');
  return {
    engine,
    chat,
    guard,
    judge,
    domain: await loadDomain(baseUrl, signal),
    ids: { student: modelId, guard: guard.modelId, judge: judge.modelId },
    references: {
      get: async (key: string) => (await getDerived(key)) as SystemAnswers | undefined,
      put: putDerived,
    },
  };
}

/** What training needs besides; prepared data of a bundled student lies beside it. */
async function trainDeps(signal: AbortSignal) {
  const { baseUrl, text } = loaded();
  return {
    ...(await evaluateDeps(signal)),
    train: await loadPrompts(baseUrl, 'train', signal),
    environment: environment(loaded()),
    prepared: [
      (name: string) => getDerived(name),
      () => shippedPrepared(baseUrl, text, signal),
    ] as const,
    savePrepared: putDerived,
  };
}

/** The student, once it is known to say what the runtime says. */
function trusted(): Student {
  const own = loaded();
  if (!own.parity) throw new RangeError('Compare the engine with the runtime before training.');
  return own;
}

async function open(
  files: ModelFileSet,
  runtimeLogits: RuntimeLogits | null,
  emit: (progress: Progress) => void,
): Promise<Pick<Student, 'gpu' | 'engine' | 'chat' | 'parity'>> {
  const { gpu, engine, chat } = await openEngine(files, emit);
  try {
    let parity: ParityReport | null = null;
    if (runtimeLogits) {
      emit({ phase: 'parity', done: 0, total: 1, unit: 'items' });
      parity = checkParity(await engine.logits(runtimeLogits.tokens), runtimeLogits);
    }
    emit({ phase: 'warm-up', done: 0, total: 1, unit: 'items' });
    await engine.generate([{ prompt: chat.encodeChat({ user: 'Hello' }), stream: 0 }], {
      temperature: 0,
      seed: 0,
      maxNewTokens: 2,
      stopToken: chat.eosToken,
    });
    return { gpu, engine, chat, parity };
  } catch (error) {
    engine.destroy();
    throw error;
  }
}

/** Only bundled students have prepared data beside them. */
async function shippedPrepared(baseUrl: string, text: string, signal: AbortSignal) {
  const source = parseSourceText(text);
  return source.kind === 'bundled' ? loadShippedPrepared(baseUrl, source.name, signal) : null;
}

/** What the run under way had trained at its last checkpoint. */
async function presentAdaptation(recipe: Recipe): Promise<Adaptation> {
  const kept = control && (await getCheckpoint());
  if (!kept) throw new RangeError('No run is under way, or it has just begun.');
  const { engine, chat } = loaded();
  return (await formOf(recipe, engine, chat)).adaptation(parseCheckpoint(kept.checkpoint).values);
}

/** The sweep that was last under way; what cannot be read is no sweep. */
async function keptSweep(): Promise<SweepDocument | undefined> {
  try {
    return lastSweep ?? parseResults(await getSweep(), parseOutcome);
  } catch {
    return undefined;
  }
}

/** What is finished of `spec`; cells of another base belong to another sweep. */
async function startedSweep(spec: SweepSpec): Promise<SweepDocument> {
  const kept = await keptSweep();
  return kept && kept.base === baseHash(spec) ? mergeResults(spec, [kept]) : emptyResults(spec);
}

const handlers: Handlers<TrainerRequests> = {
  load({ runtimeLogits, ...request }, { emit, signal }) {
    return jobs.run(async () => {
      const { files, about } = await openRequested(request, signal, emit);
      try {
        return await gpuTurn.run(async () => {
          student?.engine.destroy();
          student = null;
          const opened = await open(files, runtimeLogits, emit);
          const { modelId, text } = about;
          const asked = sourceText(request.source);
          student = { asked, text, modelId, baseUrl: request.baseUrl, ...opened };
          emit({ phase: 'ready', done: 1, total: 1, unit: 'items', fromCache: files.fromCache });
          const { gpu, engine, chat, parity } = student;
          return {
            ...about,
            gpu: gpu.description,
            parity,
            weightBytes: engine.weightBytes,
            systemRole: chat.systemRole,
            shape: decoderShape(engine.config),
          };
        }, signal);
      } finally {
        files.close();
      }
    }, signal);
  },

  async connectGuard({ name, port, modelId }) {
    const requests: ConnectedGuard['requests'] = requestsOver(port);
    guards[name] = {
      modelId,
      requests,
      score: async (items) => (await requests.request('score', { items: [...items] })).safe,
    };
    return null;
  },

  async disconnectGuard({ name }) {
    guards[name]?.requests.end(new WorkerError('internal', `The ${name} stopped. Try again.`));
    delete guards[name];
    return null;
  },

  async train({ recipe: asked, resume }, { emit, signal }) {
    if (control) throw new RangeError('A run is under way already.');
    const own = new SharingControl((state) => emit({ kind: 'state', state }));
    // Set before the first wait: a pause may follow at once.
    control = own;
    try {
      return await jobs.run(async () => {
        const { engine, asked: name, text, modelId } = trusted();
        const kept = resume ? await getCheckpoint() : undefined;
        if (resume && kept?.modelId !== modelId) {
          throw new RangeError('There is no earlier session of this student to go on with.');
        }
        const resumeFrom = kept && parseCheckpoint(kept.checkpoint);
        const recipe = parseRecipe({ ...(resumeFrom?.recipe ?? asked) });
        if (recipe.student !== name && recipe.student !== text) {
          throw new RangeError(`The student ${text} is loaded, not ${recipe.student}.`);
        }
        // A record names the commit, not a branch that moves on.
        recipe.student = text;
        const deps = await trainDeps(signal);
        own.release = await gpuTurn.acquire(signal);
        engine.onCompile = (done, total) =>
          emit({ kind: 'progress', progress: { phase: 'compile', done, total, unit: 'items' } });
        const run = await distil(
          recipe,
          { ...deps, sets: {} },
          {
            signal,
            control: own,
            onProgress: (phase, done, total) => {
              const unit = phase === 'train' ? 'steps' : 'items';
              emit({ kind: 'progress', progress: { phase, done, total, unit } });
            },
            onStep: (record, live) => emit({ kind: 'step', record, ...live }),
            onProbe: (record) => emit({ kind: 'probe', record }),
            onCheckpoint: (checkpoint) =>
              void putCheckpoint({ modelId, savedAt: Date.now(), checkpoint }),
          },
          {
            evaluations: [],
            checkpointEvery: CHECKPOINT_EVERY,
            ...(resumeFrom && { resumeFrom: { ...resumeFrom, recipe } }),
          },
        ).finally(() => {
          engine.onCompile = null;
        });
        await deleteCheckpoint();
        return run;
      }, signal);
    } finally {
      own.release();
      control = null;
    }
  },

  async sweep({ spec: asked }, { emit, signal }) {
    if (control) throw new RangeError('A run is under way already.');
    const own = new SharingControl((state) => emit({ kind: 'state', state }));
    control = own;
    try {
      return await jobs.run(async () => {
        const { asked: name, text, baseUrl } = trusted();
        const spec = parseSweep(asked);
        const started = await startedSweep(spec);
        const student = studentOf(started);
        if (student !== name && student !== text) {
          throw new RangeError(`The student ${text} is loaded, not ${student}.`);
        }
        const [deps, wording, intent] = await Promise.all([
          trainDeps(signal),
          loadPrompts(baseUrl, 'wording', signal),
          loadPrompts(baseUrl, 'intent', signal),
        ]);
        own.release = await gpuTurn.acquire(signal);
        return await runSweep(
          started,
          { ...deps, sets: { wording, intent } },
          {
            signal,
            control: own,
            save: async (results) => {
              lastSweep = results;
              await putSweep(results);
            },
            onCell: ({ id }, at) => emit({ kind: 'cell', id, ...at }),
            onOutcome: (results, id) => {
              const cell = results.cells.find((each) => each.id === id)!;
              emit({ kind: 'outcome', id, status: cell.status, error: cell.error ?? null });
            },
            onProgress: (phase, done, total) => {
              const unit = phase === 'train' ? 'steps' : 'items';
              emit({ kind: 'progress', progress: { phase, done, total, unit } });
            },
          },
          { retry: true, isFatal: (error) => error instanceof GpuLostError },
        );
      }, signal);
    } finally {
      own.release();
      control = null;
    }
  },

  async sweepResults() {
    return (await keptSweep()) ?? null;
  },

  async checkpoint() {
    const kept = await getCheckpoint();
    if (!kept) return null;
    const { modelId, savedAt } = kept;
    const { recipe, step } = parseCheckpoint(kept.checkpoint);
    return { modelId, savedAt, recipe, step };
  },

  evaluate({ set, systems, temperature, seed, values, recipe, limit }, { emit, signal }) {
    return jobs.run(async () => {
      if (set === 'custom') throw new RangeError('Only bundled sets are evaluated here.');
      const deps = await evaluateDeps(signal);
      const items = limitItems(await loadPrompts(loaded().baseUrl, set, signal), limit);
      const { maxNewTokens } = recipe;
      return gpuTurn.run(
        () =>
          evaluate(
            {
              set,
              items,
              systems,
              temperature,
              seed,
              maxNewTokens,
              adaptation: values && adaptationOf(recipe.adapter, values, deps.engine.config),
              ...(recipe.adapter.kind === 'preamble' && { adapterSystem: deps.domain.preamble }),
              teacher: recipe,
              guardCase: recipe.guardCase,
            },
            deps,
            {
              signal,
              onProgress: (done, total) => emit({ phase: 'evaluate', done, total, unit: 'items' }),
            },
          ),
        signal,
      );
    }, signal);
  },

  async bound({ set, values, recipe, limit }, { emit, signal }) {
    if (set === 'custom') throw new RangeError('Only bundled sets are measured here.');
    const deps = await evaluateDeps(signal);
    const items = limitItems(await loadPrompts(loaded().baseUrl, set, signal), limit);
    return gpuTurn.run(async () => {
      const adaptation = values
        ? adaptationOf(recipe.adapter, values, deps.engine.config)
        : await presentAdaptation(recipe);
      return bounds.measure({ adaptation, recipe, items }, deps, signal, (done, total) =>
        emit({ phase: 'evaluate', done, total, unit: 'items' }),
      );
    }, signal);
  },

  answer({ prompts, softPrompt, system, temperature, seed, maxNewTokens }, { emit, signal }) {
    return gpuTurn.run(async () => {
      const { engine, chat } = loaded();
      const generated = await engine.generate(
        prompts.map((user, stream) => ({ prompt: chat.encodeChat({ system, user }), stream })),
        {
          ...(softPrompt ? { softPrompt } : {}),
          temperature,
          seed,
          maxNewTokens,
          stopToken: chat.eosToken,
          signal,
          onProgress: (done, total) => emit({ phase: 'sample', done, total, unit: 'items' }),
        },
      );
      return {
        answers: generated.map(({ tokens }) => chat.decode(tokens)),
        newTokens: generated.reduce((sum, { tokens }) => sum + tokens.length, 0),
      };
    }, signal);
  },

  tokens(request, { signal }) {
    return gpuTurn.run(async () => {
      const { engine, chat, baseUrl } = loaded();
      const { refusals } = await loadDomain(baseUrl, signal);
      return tokenView(request, { engine, chat, guard: guards.guard ?? null, refusals }, signal);
    }, signal);
  },

  prefix({ softPrompt }, { signal }) {
    return gpuTurn.run(async () => {
      const { engine } = loaded();
      const layers = await engine.prefixCache(softPrompt);
      return { length: softPrompt.length / engine.dim, layers };
    }, signal);
  },

  async pause() {
    control?.pause();
    return null;
  },

  async resume() {
    control?.resume();
    return null;
  },

  async step() {
    control?.step();
    return null;
  },

  async stop() {
    control?.stop();
    return null;
  },
};

serve<TrainerRequests>(self as unknown as Endpoint, handlers, describeError);
