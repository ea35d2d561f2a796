/** One question to three systems: base model, adapted student, guarded system. */
import type { Domain } from '../../../distill/data/dataset';
import type { KvPrefix } from '../../../workers/wire/protocol';
import { adaptationOf } from '../../../distill/adapters/adaptation';
import { DEFAULT_RECIPE } from '../../../distill/train/recipe';
import type { Recipe } from '../../../distill/types';
import { loadDomain } from '../models/bundle';
import {
  type Answer,
  type ChatSystem,
  EMPTY,
  guardedAnswer,
  guardItem,
  type GuardReading,
} from './answer';
import { type ChatAdapter, chatRefusal } from './chat-adapters';
import { isCancelled, problemOf, type Problem } from '../errors';
import { session } from '../models/session.svelte';
import { vectorsOf } from './vectors';

class Chat {
  /** Who is asked, as text: what is loaded, or will be. */
  student = $state(session.chosen.student);
  question = $state('');
  /** The question that the shown answers belong to. */
  asked = $state('');
  /** What answered beside the base model. */
  adapter = $state.raw<ChatAdapter | null>(null);
  busy = $state(false);
  sampled = $state(false);
  seed = $state(0);
  answers = $state.raw<Record<ChatSystem, Answer> | null>(null);
  /** What the guarded system acts on: the guard's view of the question, or of the base's answer. */
  guardReads = $state.raw<GuardReading | null>(null);
  problem = $state.raw<Problem | null>(null);
  announcement = $state('');
  domain = $state.raw<Domain | null>(null);

  #abort: AbortController | null = null;
  #prefix: { id: string; prefix: KvPrefix } | null = null;

  async prepare(): Promise<void> {
    try {
      this.domain ??= await loadDomain(session.root);
    } catch (error) {
      this.problem = problemOf(error);
    }
  }

  /** Asks another student from now on; what the one before said is gone. */
  choose(student: string): void {
    if (student === this.student || this.busy) return;
    this.student = student;
    this.asked = '';
    this.answers = null;
    this.guardReads = null;
    this.problem = null;
  }

  cancel(): void {
    this.#abort?.abort();
  }

  async ask(adapter: ChatAdapter | null): Promise<void> {
    const question = this.question.trim();
    if (question === '' || this.busy) return;
    const abort = new AbortController();
    this.#abort = abort;
    this.busy = true;
    this.asked = question;
    this.adapter = adapter;
    this.problem = null;
    this.guardReads = null;
    this.answers = { base: EMPTY, adapter: EMPTY, guarded: EMPTY };
    this.announcement = 'Asking three systems.';
    try {
      // Without the domain's refusals there is no guarded system.
      this.domain ??= await loadDomain(session.root);
      session.clearPhases();
      if (session.use({ student: this.student })) this.#prefix = null;
      await session.load(['student', 'guard', 'judge'], abort.signal);
      await this.#guarded(question, adapter, abort.signal);
      await this.#adapted(question, adapter, abort.signal);
      await this.#judge(question, abort.signal);
      this.announcement = 'Three answers are ready.';
    } catch (error) {
      if (!isCancelled(error)) this.problem = problemOf(error);
      this.announcement = isCancelled(error) ? 'Stopped.' : 'That did not work.';
      for (const system of ['base', 'adapter', 'guarded'] as const) {
        const unfinished = this.answers && this.answers[system].state !== 'done';
        if (unfinished) this.#set(system, { state: 'failed', note: 'Stopped before its end.' });
      }
    } finally {
      this.busy = false;
    }
  }

  #set(system: ChatSystem, change: Partial<Answer>): void {
    if (!this.answers) return;
    this.answers = { ...this.answers, [system]: { ...this.answers[system], ...change } };
  }

  async #write(
    system: 'base' | 'adapter',
    prompt: string,
    { prefix = null, system: text = null }: { prefix?: KvPrefix | null; system?: string | null },
    signal: AbortSignal,
  ): Promise<void> {
    this.#set(system, { state: 'writing' });
    const result = await session.student(
      'generate',
      {
        prompt,
        system: text,
        prefix,
        temperature: this.sampled ? 1 : 0,
        seed: this.seed,
        maxNewTokens: this.domain?.maxNewTokens ?? 48,
      },
      { signal, onEvent: ({ text }) => this.#set(system, { text }) },
    );
    const extraBytes = (prefix?.layers ?? []).reduce(
      (sum, { key, value }) => sum + key.byteLength + value.byteLength,
      0,
    );
    this.#set(system, {
      state: 'done',
      text: result.text,
      cost: {
        bytes: session.runtime?.bytes ?? null,
        extraBytes,
        firstTokenMs: result.firstTokenMs,
        tokensPerSecond: result.tokensPerSecond,
      },
    });
  }

  /**
   * The base model and the guarded system, whose guard reads the question before or the answer after
   * the base has written, as the recipe says.
   */
  async #guarded(
    question: string,
    adapter: ChatAdapter | null,
    signal: AbortSignal,
  ): Promise<void> {
    const recipe = adapter?.recipe ?? DEFAULT_RECIPE;
    const early = recipe.guardCase.kind === 'prompt';
    let guardMs = early ? await this.#read(question, '', recipe, signal) : 0;
    const start = performance.now();
    await this.#write('base', question, {}, signal);
    const milliseconds = performance.now() - start;
    const { text, cost } = this.answers!.base;
    if (!early) guardMs = await this.#read(question, text, recipe, signal);
    const answer = guardedAnswer({
      question,
      base: { text, milliseconds, cost: cost! },
      reading: this.guardReads!,
      guardMs,
      guardBytes: session.guards.guard?.bytes ?? 0,
      recipe,
      // A link does not say which guard it had.
      otherGuard: adapter?.shared === null && recipe.guard !== session.chosen.guard,
      refusals: this.domain?.refusals ?? [],
      sampled: this.sampled,
      seed: this.seed,
    });
    this.#set('guarded', answer);
  }

  /** The guard's view of what the recipe has it read; how long it took, in milliseconds. */
  async #read(prompt: string, text: string, recipe: Recipe, signal: AbortSignal): Promise<number> {
    const { of, item } = guardItem(recipe, prompt, text);
    const { safe, milliseconds } = await session.score('guard', [item], signal);
    this.guardReads = { of, safe: safe[0]! };
    return milliseconds;
  }

  async #adapted(
    question: string,
    adapter: ChatAdapter | null,
    signal: AbortSignal,
  ): Promise<void> {
    const refusal = adapter ? chatRefusal(adapter) : 'Choose what was trained, or train it first.';
    if (!adapter || refusal !== null) {
      this.#set('adapter', { state: 'failed', note: refusal });
      return;
    }
    try {
      const { kind } = adapter.recipe.adapter;
      if (kind === 'preamble') {
        const system = this.domain?.preamble ?? null;
        await this.#write('adapter', question, { system }, signal);
        return;
      }
      await session.load(['trainer'], signal);
      session.requireModel(adapter.modelId, adapter.templateHash);
      if (kind === 'soft-prompt') await this.#soft(question, adapter, signal);
      else await this.#inside(question, adapter, signal);
    } catch (error) {
      if (isCancelled(error)) throw error;
      // Without WebGPU there is no prefix and no engine; the other two columns still answer.
      this.#set('adapter', { state: 'failed', problem: problemOf(error) });
    }
  }

  /** A soft prompt: the runtime answers behind its KV prefix. */
  async #soft(question: string, adapter: ChatAdapter, signal: AbortSignal): Promise<void> {
    const { id, shared, values } = adapter;
    if (this.#prefix?.id !== id) {
      const softPrompt = shared ? await vectorsOf(shared, signal) : values;
      const request = { softPrompt: softPrompt.slice() };
      this.#prefix = { id, prefix: await session.trainer('prefix', request, { signal }) };
    }
    await this.#write('adapter', question, { prefix: this.#prefix.prefix }, signal);
  }

  /** What changes the student inside: the runtime cannot, so the engine answers. */
  async #inside(question: string, adapter: ChatAdapter, signal: AbortSignal): Promise<void> {
    this.#set('adapter', { state: 'writing' });
    const { recipe, values } = adapter;
    const adaptation = adaptationOf(recipe.adapter, values.slice(), session.engine!.shape);
    const { answers, newTokens, milliseconds } = await session.trainer(
      'answer',
      {
        prompts: [question],
        adaptation,
        system: null,
        temperature: this.sampled ? 1 : 0,
        seed: this.seed,
        maxNewTokens: this.domain?.maxNewTokens ?? 48,
      },
      { signal },
    );
    this.#set('adapter', {
      state: 'done',
      text: (answers[0] ?? '').trim(),
      note: 'Answered by the engine, all at once: the runtime has no place for what was trained.',
      cost: {
        bytes: session.engine?.weightBytes ?? null,
        extraBytes: values.byteLength,
        firstTokenMs: null,
        tokensPerSecond: newTokens / (milliseconds / 1000),
      },
    });
  }

  async #judge(question: string, signal: AbortSignal): Promise<void> {
    const systems = (['base', 'adapter', 'guarded'] as const).filter(
      (system) => this.answers?.[system].state === 'done',
    );
    const items = systems.map((system) => ({
      prompt: question,
      response: this.answers?.[system].text ?? '',
    }));
    const [guard, judge] = await Promise.all([
      session.score('guard', items, signal),
      session.score('judge', items, signal),
    ]);
    for (const [i, system] of systems.entries()) {
      this.#set(system, { guardSafe: guard.safe[i] ?? null, judgeSafe: judge.safe[i] ?? null });
    }
  }
}

export const chat = new Chat();
