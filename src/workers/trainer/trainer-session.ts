/** What the trainer worker holds: the student, the guards beside it, and what a run needs of them. */
import { version } from '../../../package.json';
import { virtualTokens } from '../../distill/adapters/adaptation';
import type { ChatTokenizer } from '../../distill/data/chat';
import { contentHash, limitItems } from '../../distill/data/dataset';
import type { SystemAnswers } from '../../distill/evaluation/evaluate';
import {
  fittingPrompts,
  type FitOptions,
  type ImportedSet,
  trainingPrompts,
} from '../../distill/data/imported-prompts';
import type {
  EvaluationSet,
  Guard,
  ImportedSource,
  PromptItem,
  Recipe,
  RunEnvironment,
} from '../../distill/types';
import type { Engine } from '../../engine/engine';
import { parseSourceText } from '../../formats/source-text';
import type { Gpu } from '../../kernels/gpu/gpu';
import { loadDomain, loadPrompts, loadShippedPrepared } from './data-files';
import type { ModelFileSet } from '../files/open-model';
import { openEngine } from './open-engine';
import { checkParity } from './parity';
import type {
  GuardRequests,
  GuardRole,
  ParityReport,
  Progress,
  RuntimeLogits,
} from '../wire/protocol';
import { type Requests, requestsOver, WorkerError } from '../wire/requests';
import { getDerived, putDerived } from './storage';

export interface Student {
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

export class TrainerSession {
  private student: Student | null = null;
  private readonly guards: Partial<Record<GuardRole, ConnectedGuard>> = {};

  /** The guard that teaches, where there is one. */
  get guard(): Guard | null {
    return this.guards.guard ?? null;
  }

  /** @throws RangeError before a student is loaded */
  loaded(): Student {
    if (!this.student) throw new RangeError('Load the student first.');
    return this.student;
  }

  /** The student, once it is known to say what the runtime says. */
  trusted(): Student {
    const own = this.loaded();
    if (!own.parity) throw new RangeError('Compare the engine with the runtime before training.');
    return own;
  }

  /** Whether a recipe or a sweep that names `student` is about the one that is loaded. */
  requireStudent(student: string): void {
    const { asked, text } = this.loaded();
    if (student !== asked && student !== text) {
      throw new RangeError(`The student ${text} is loaded, not ${student}.`);
    }
  }

  /** Puts a student in the place of the one before, which goes first: two may not fit. */
  async open(
    files: ModelFileSet,
    about: Pick<Student, 'asked' | 'text' | 'modelId' | 'baseUrl'>,
    runtimeLogits: RuntimeLogits | null,
    emit: (progress: Progress) => void,
  ): Promise<Student> {
    this.student?.engine.destroy();
    this.student = null;
    this.student = { ...about, ...(await openStudent(files, runtimeLogits, emit)) };
    return this.student;
  }

  connect(name: GuardRole, port: MessagePort, modelId: string): void {
    const requests: ConnectedGuard['requests'] = requestsOver(port, name);
    this.guards[name] = {
      modelId,
      requests,
      score: async (items) => (await requests.request('score', { items: [...items] })).safe,
    };
  }

  disconnect(name: GuardRole): void {
    // Whoever disconnects it has ended it: nothing is left to be ended for this.
    const message = `The ${name} stopped. Try again.`;
    const gone = { code: 'internal', message, broken: false, owner: name } as const;
    this.guards[name]?.requests.end(new WorkerError(gone));
    delete this.guards[name];
  }

  /** What every evaluation needs, that at the end of a run included. */
  async evaluateDeps(signal: AbortSignal) {
    const { engine, chat, modelId, baseUrl } = this.loaded();
    const guard = this.connected('guard');
    const judge = this.connected('judge');
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

  /** The prompts of a bundled set, or those of an imported one that fit the student. */
  async evaluationItems(
    set: EvaluationSet,
    imported: ImportedSet | undefined,
    recipe: Recipe,
    limit: number,
    signal: AbortSignal,
  ): Promise<{ items: PromptItem[]; imported?: ImportedSource }> {
    const { baseUrl } = this.loaded();
    if (set !== 'custom')
      return { items: limitItems(await loadPrompts(baseUrl, set, signal), limit) };
    if (!imported) throw new RangeError('There is no imported set to evaluate on.');
    const { preamble } = await loadDomain(baseUrl, signal);
    const fitting = fittingPrompts(imported.items, { ...this.room(recipe), system: preamble });
    if (fitting.length === 0) {
      throw new RangeError(`No prompt of “${imported.name}” is short enough for this student.`);
    }
    return {
      items: limitItems(fitting, limit),
      imported: {
        name: imported.name,
        hash: contentHash(imported.items),
        tooLong: imported.items.length - fitting.length,
      },
    };
  }

  /** What training needs besides; prepared data of a bundled student lies beside it. */
  async trainDeps(signal: AbortSignal, recipe?: Recipe, imported?: ImportedSet) {
    const student = this.loaded();
    const { baseUrl, text } = student;
    const bundled = await loadPrompts(baseUrl, 'train', signal);
    const own =
      recipe?.data && imported
        ? trainingPrompts(bundled, recipe.data, imported, this.room(recipe))
        : { train: bundled };
    return {
      ...(await this.evaluateDeps(signal)),
      ...own,
      environment: environmentOf(student),
      prepared: [
        (name: string) => getDerived(name),
        () => shippedPrepared(baseUrl, text, signal),
      ] as const,
      savePrepared: putDerived,
    };
  }

  private room({ adapter, maxNewTokens }: Recipe): FitOptions {
    const { chat, engine } = this.loaded();
    const { maxPositions } = engine;
    return { chat, maxPositions, virtualTokens: virtualTokens(adapter), maxNewTokens };
  }

  private connected(role: GuardRole): ConnectedGuard {
    const guard = this.guards[role];
    if (!guard) throw new RangeError(`Load the ${role} first.`);
    return guard;
  }
}

function environmentOf({ gpu }: Student): RunEnvironment {
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

async function openStudent(
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
      stopTokens: chat.stopTokens,
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
