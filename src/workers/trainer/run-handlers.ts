/** Requests about the run or sweep under way, and about those of earlier visits. */
import { parseCheckpoint } from '../../distill/train/checkpoint';
import { parseRecipe } from '../../distill/train/recipe';
import { distil, type RunPhase } from '../../distill/train/run';
import { parseSweep } from '../../distill/sweep/sweep';
import { modelsOf, runSweep } from '../../distill/sweep/sweep-run';
import { isBroken } from '../../formats/errors';
import { CheckpointWriter, getCheckpoint } from './checkpoint-store';
import { loadPrompts } from './data-files';
import type { RunUnderWay, SharingControl } from './run-under-way';
import type { SweepStore } from './sweep-store';
import type { TrainerSession } from './trainer-session';
import type { Progress, TrainerRequests } from '../wire/protocol';
import type { Handlers } from '../wire/serve';

/** Seconds between checkpoints: what a crash may cost. */
const CHECKPOINT_SECONDS = 3;

type RunRequest =
  'train' | 'checkpoint' | 'sweep' | 'sweepResults' | 'pause' | 'resume' | 'step' | 'stop';

export function runHandlers(
  session: TrainerSession,
  underWay: RunUnderWay,
  sweeps: SweepStore,
): Pick<Handlers<TrainerRequests>, RunRequest> {
  return {
    train({ recipe: asked, resume, imported }, { emit, signal, handOver }) {
      const train = async (control: SharingControl) => {
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
        const writer = new CheckpointWriter(modelId, kept);
        await control.takeGpu(signal);
        engine.onCompile = (done, total) =>
          emit({ kind: 'progress', progress: { phase: 'compile', done, total, unit: 'items' } });
        const run = await distil(
          recipe,
          { ...deps, sets: {} },
          {
            signal,
            control,
            onProgress: (...progress) =>
              emit({ kind: 'progress', progress: progressOf(...progress) }),
            onStep: (record, live) => emit({ kind: 'step', record, ...live }),
            onProbe: (record) => emit({ kind: 'probe', record }),
            onCheckpoint: async (checkpoint) =>
              emit({ kind: 'kept', problem: await problemOf(writer.keep(checkpoint)) }),
            onStudent: (look) => underWay.trains(recipe, look),
          },
          {
            evaluations: [],
            checkpointSeconds: CHECKPOINT_SECONDS,
            ...(resumeFrom && { resumeFrom: { ...resumeFrom, recipe } }),
          },
        ).finally(() => {
          engine.onCompile = null;
        });
        await writer.forget();
        handOver(run.values);
        return run;
      };
      return underWay.run(train, (state) => emit({ kind: 'state', state }), signal);
    },

    async checkpoint() {
      const kept = await getCheckpoint();
      if (!kept) return null;
      const { modelId, savedAt } = kept;
      const { recipe, step } = parseCheckpoint(kept.checkpoint);
      return { modelId, savedAt, recipe, step };
    },

    sweep({ spec: asked }, { emit, signal }) {
      return underWay.run(
        async (control) => {
          const { baseUrl } = session.trusted();
          const spec = parseSweep(asked);
          const started = await sweeps.started(spec);
          session.requireStudent(modelsOf(started).student);
          const [deps, wording, intent] = await Promise.all([
            session.trainDeps(signal),
            loadPrompts(baseUrl, 'wording', signal),
            loadPrompts(baseUrl, 'intent', signal),
          ]);
          await control.takeGpu(signal);
          return runSweep(
            started,
            { ...deps, sets: { wording, intent } },
            {
              signal,
              control,
              save: async (results) =>
                emit({ kind: 'kept', problem: await problemOf(sweeps.keep(results)) }),
              onCell: ({ id }, at) => emit({ kind: 'cell', id, ...at }),
              onOutcome: (results, id) => {
                const cell = results.cells.find((each) => each.id === id)!;
                emit({ kind: 'outcome', id, status: cell.status, error: cell.error ?? null });
              },
              onProgress: (...progress) =>
                emit({ kind: 'progress', progress: progressOf(...progress) }),
            },
            { retry: true, isFatal: isBroken },
          );
        },
        (state) => emit({ kind: 'state', state }),
        signal,
      );
    },

    async sweepResults() {
      return (await sweeps.kept()) ?? null;
    },

    async pause() {
      underWay.pause();
      return null;
    },

    async resume() {
      underWay.resume();
      return null;
    },

    async step() {
      underWay.step();
      return null;
    },

    async stop() {
      underWay.stop();
      return null;
    },
  };
}

function progressOf(phase: RunPhase, done: number, total: number): Progress {
  return { phase, done, total, unit: phase === 'train' ? 'steps' : 'items' };
}

/** Why something could not be kept, in a sentence; the run goes on without. */
async function problemOf(keeping: Promise<void>): Promise<string | null> {
  try {
    await keeping;
    return null;
  } catch (error) {
    const isFull = error instanceof DOMException && error.name === 'QuotaExceededError';
    return isFull
      ? 'The browser’s storage for this site is full: closing this tab would lose what is not finished.'
      : 'The browser keeps nothing for this site: closing this tab would lose what is not finished.';
  }
}
