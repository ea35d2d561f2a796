/** Engine and method behind the protocol: training, evaluation, answers. Glue only. */
import {
  type Adaptation,
  adaptationOf,
  decoderShape,
  generateWith,
} from '../../distill/adapters/adaptation';
import { parseCheckpoint } from '../../distill/train/checkpoint';
import { RunControl } from '../../distill/train/control';
import { limitItems } from '../../distill/data/dataset';
import { evaluate } from '../../distill/evaluation/evaluate';
import { parametrisationOf, sharedVectors } from '../../distill/adapters/parametrisation';
import { parseRecipe } from '../../distill/train/recipe';
import { distil } from '../../distill/train/run';
import { parseSweep } from '../../distill/sweep/sweep';
import { modelsOf, runSweep } from '../../distill/sweep/sweep-run';
import { lossesOf } from '../../distill/train/trainer';
import type { Recipe } from '../../distill/types';
import { sourceText } from '../../formats/source-text';
import { isBroken } from '../../formats/errors';
import { BoundMeasurer } from './bound-measurer';
import { loadDomain, loadPrompts } from './data-files';
import { describeError } from '../wire/errors';
import { Lock } from '../runtime/lock';
import { openRequested } from '../files/open-request';
import type { TrainerRequests } from '../wire/protocol';
import { restrictFetch } from '../runtime/runtime';
import { type Endpoint, type Handlers, serve } from '../wire/serve';
import { tokenView } from './token-view';
import { TrainerSession } from './trainer-session';
import { deleteCheckpoint, getCheckpoint, putCheckpoint } from './storage';
import { SweepStore } from './sweep-store';

restrictFetch();

/** Steps between checkpoints: what a crash may cost. */
const CHECKPOINT_EVERY = 10;

const session = new TrainerSession();
const bounds = new BoundMeasurer();
const sweeps = new SweepStore();
let control: RunControl | null = null;

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

/** What the run under way had trained at its last checkpoint. */
async function presentAdaptation(recipe: Recipe): Promise<Adaptation> {
  const kept = control && (await getCheckpoint());
  if (!kept) throw new RangeError('No run is under way, or it has just begun.');
  const { engine, chat } = session.loaded();
  return (await parametrisationOf(recipe, engine, chat)).adaptation(
    parseCheckpoint(kept.checkpoint).values,
  );
}

const handlers: Handlers<TrainerRequests> = {
  load({ runtimeLogits, ...request }, { emit, signal }) {
    return jobs.run(async () => {
      const { files, about } = await openRequested(request, signal, emit);
      try {
        return await gpuTurn.run(async () => {
          const { modelId, text } = about;
          const asked = sourceText(request.source);
          const names = { asked, text, modelId, baseUrl: request.baseUrl };
          const { gpu, engine, chat, parity } = await session.open(
            files,
            names,
            runtimeLogits,
            emit,
          );
          emit({ phase: 'ready', done: 1, total: 1, unit: 'items', fromCache: files.fromCache });
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

  async prepareTraining({ objective }) {
    const { engine, gpu } = session.loaded();
    const { pipelineCount } = gpu;
    await engine.prepareTraining(lossesOf(objective)).catch(() => undefined);
    return gpu.pipelineCount - pipelineCount;
  },

  async connectGuard({ name, port, modelId }) {
    session.connect(name, port, modelId);
    return null;
  },

  async disconnectGuard({ name }) {
    session.disconnect(name);
    return null;
  },

  async train({ recipe: asked, resume, imported }, { emit, signal }) {
    if (control) throw new RangeError('A run is under way already.');
    const own = new SharingControl((state) => emit({ kind: 'state', state }));
    // Set before the first wait: a pause may follow at once.
    control = own;
    try {
      return await jobs.run(async () => {
        const { engine, text, modelId } = session.trusted();
        const kept = resume ? await getCheckpoint() : undefined;
        if (resume && kept?.modelId !== modelId) {
          throw new RangeError('There is no earlier session of this student to go on with.');
        }
        const resumeFrom = kept && parseCheckpoint(kept.checkpoint);
        const recipe = parseRecipe({ ...(resumeFrom?.recipe ?? asked) });
        session.requireStudent(recipe.student);
        // A record names the commit, not a branch that moves on.
        recipe.student = text;
        const deps = await session.trainDeps(signal, recipe, imported);
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
        const { baseUrl } = session.trusted();
        const spec = parseSweep(asked);
        const started = await sweeps.started(spec);
        session.requireStudent(modelsOf(started).student);
        const [deps, wording, intent] = await Promise.all([
          session.trainDeps(signal),
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
            save: (results) => sweeps.keep(results),
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
          { retry: true, isFatal: isBroken },
        );
      }, signal);
    } finally {
      own.release();
      control = null;
    }
  },

  async sweepResults() {
    return (await sweeps.kept()) ?? null;
  },

  async checkpoint() {
    const kept = await getCheckpoint();
    if (!kept) return null;
    const { modelId, savedAt } = kept;
    const { recipe, step } = parseCheckpoint(kept.checkpoint);
    return { modelId, savedAt, recipe, step };
  },

  evaluate({ set, imported, recipe, limit, ...asked }, { emit, signal }) {
    return jobs.run(async () => {
      const { systems, temperature, seed, values } = asked;
      const deps = await session.evaluateDeps(signal);
      const { items, ...source } = await session.evaluationItems(
        set,
        imported,
        recipe,
        limit,
        signal,
      );
      const { maxNewTokens } = recipe;
      return gpuTurn.run(async () => {
        const evaluation = await evaluate(
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
        );
        return { ...evaluation, ...source };
      }, signal);
    }, signal);
  },

  async bound({ set, values, recipe, limit }, { emit, signal }) {
    const deps = await session.evaluateDeps(signal);
    const items = limitItems(await loadPrompts(session.loaded().baseUrl, set, signal), limit);
    return gpuTurn.run(async () => {
      const adaptation = values
        ? adaptationOf(recipe.adapter, values, deps.engine.config)
        : await presentAdaptation(recipe);
      return bounds.measure({ adaptation, recipe, items }, deps, signal, (done, total) =>
        emit({ phase: 'evaluate', done, total, unit: 'items' }),
      );
    }, signal);
  },

  answer({ prompts, adaptation, system, temperature, seed, maxNewTokens }, { emit, signal }) {
    return gpuTurn.run(async () => {
      const { engine, chat } = session.loaded();
      const start = performance.now();
      const generated = await engine.generate(
        prompts.map((user, stream) => ({ prompt: chat.encodeChat({ system, user }), stream })),
        {
          ...generateWith(adaptation),
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
        milliseconds: performance.now() - start,
      };
    }, signal);
  },

  vectors({ shared }, { signal, handOver }) {
    return gpuTurn.run(async () => {
      const { engine, chat } = session.loaded();
      const vectors = await sharedVectors(shared, engine, chat);
      handOver(vectors);
      return vectors;
    }, signal);
  },

  tokens(request, { signal }) {
    return gpuTurn.run(async () => {
      const { engine, chat, baseUrl } = session.loaded();
      const { refusals } = await loadDomain(baseUrl, signal);
      return tokenView(request, { engine, chat, guard: session.guard, refusals }, signal);
    }, signal);
  },

  prefix({ softPrompt }, { signal, handOver }) {
    return gpuTurn.run(async () => {
      const { engine } = session.loaded();
      const layers = await engine.prefixCache(softPrompt);
      handOver(...layers.flatMap(({ key, value }) => [key, value]));
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
