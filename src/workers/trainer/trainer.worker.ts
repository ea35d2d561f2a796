/** Engine and method behind the protocol: loading, evaluation, answers. Glue only. */
import { adaptationOf, decoderShape, generateWith } from '../../distill/adapters/adaptation';
import { sharedVectors } from '../../distill/adapters/parametrisation';
import { limitItems } from '../../distill/data/dataset';
import { evaluate } from '../../distill/evaluation/evaluate';
import { lossesOf } from '../../distill/train/trainer';
import { sourceText } from '../../formats/source-text';
import { openRequested } from '../files/open-request';
import { Lock } from '../runtime/lock';
import { restrictFetch } from '../runtime/runtime';
import { describeError } from '../wire/errors';
import type { TrainerRequests } from '../wire/protocol';
import { type Endpoint, type Handlers, serve } from '../wire/serve';
import { BoundMeasurer } from './bound-measurer';
import { loadDomain, loadPrompts } from './data-files';
import { runHandlers } from './run-handlers';
import { RunUnderWay } from './run-under-way';
import { SweepStore } from './sweep-store';
import { tokenView } from './token-view';
import { TrainerSession } from './trainer-session';

restrictFetch();

/** Loading, training and evaluating: one after the other. */
const jobs = new Lock();
/** Work on the GPU. Training hands it on between steps, so that a short answer need not wait. */
const gpuTurn = new Lock();

const session = new TrainerSession();
const underWay = new RunUnderWay(jobs, gpuTurn);
const bounds = new BoundMeasurer();

const handlers: Handlers<TrainerRequests> = {
  ...runHandlers(session, underWay, new SweepStore()),

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
            templateHash: await chat.templateHash(),
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
      const student = values
        ? { recipe, adaptation: adaptationOf(recipe.adapter, values, deps.engine.config) }
        : await underWay.present();
      return bounds.measure({ ...student, items }, deps, signal, (done, total) =>
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
          stopTokens: chat.stopTokens,
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
};

serve<TrainerRequests>(self as unknown as Endpoint, handlers, describeError);
