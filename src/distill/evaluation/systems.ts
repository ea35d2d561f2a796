/**
 * What each system answers, and how guard and judge score it. Base, preamble and guarded system do
 * not depend on what was trained, so their answers may outlive a run.
 */
import { decodeAll } from './answers';
import { generateWith, type Adaptation } from '../adapters/adaptation';
import { refusalOpenings, refusalScore } from './calibration';
import { contentHash } from '../data/dataset';
import { RememberingGuard } from '../target/guard-scores';
import { hash32, Random } from '../statistics/prng';
import { keptAnswers } from './kept-answers';
import { refusalScores } from './refusal-scores';
import { guardedReply, readByGuard } from '../target/guarded-system';
import { sigmoid, teacherSafety } from '../target/target';
import type { SystemName } from '../types';
import {
  systemText,
  type EvaluateDeps,
  type EvaluateHooks,
  type EvaluateInput,
  type SystemAnswers,
} from './input';

/** Answering, the guard, the judge. */
const WORK_PER_SYSTEM = 3;

export class Systems {
  /** The plain conversation of each item, as tokens. */
  readonly prompts: readonly number[][];
  readonly refusals: readonly number[][];
  private readonly guard: RememberingGuard;
  private readonly judge: RememberingGuard;
  private readonly total: number;
  private done = 0;

  constructor(
    private readonly input: EvaluateInput,
    private readonly deps: EvaluateDeps,
    private readonly hooks: EvaluateHooks,
  ) {
    const { chat, domain } = deps;
    this.guard = new RememberingGuard(deps.guard);
    this.judge = new RememberingGuard(deps.judge);
    this.prompts = input.items.map((item) => chat.encodeChat({ user: item.prompt }));
    this.refusals = domain.refusals.map((text) =>
      chat.encodeAnswer(text).slice(0, input.maxNewTokens),
    );
    const systems = new Set<SystemName>(['base', ...input.systems]);
    this.total = systems.size * WORK_PER_SYSTEM * input.items.length;
  }

  /** @param base needed by the guarded system, which passes on what the base says */
  async answers(name: SystemName, base?: SystemAnswers): Promise<SystemAnswers> {
    const { references } = this.deps;
    const key = name === 'adapter' ? null : this.referenceKey(name);
    const kept = key === null ? null : keptAnswers(await references?.get(key), this.input.items);
    if (kept) {
      this.advance(WORK_PER_SYSTEM * this.input.items.length);
      if (name !== 'base' || (kept.sampledSafe?.[0]?.length ?? 0) >= this.moreAnswers) return kept;
      const whole = { ...kept, sampledSafe: await this.sampledSafe() };
      await references?.put(key!, whole);
      return whole;
    }
    const { tokens, logProbs } =
      name === 'guarded' ? this.guardedAnswers(base!) : await this.generated(name);
    const texts = decodeAll(this.deps.chat, tokens);
    const pairs = this.input.items.map(({ prompt }, i) => ({ prompt, response: texts[i]! }));
    const { signal } = this.hooks;
    const options = { signal, onDone: (count: number) => this.advance(count) };
    const [guardSafe, judgeSafe] = await Promise.all([
      this.guard.score(pairs, options),
      this.judge.score(pairs, options),
    ]);
    const answers: SystemAnswers = { tokens, logProbs, guardSafe, judgeSafe };
    if (name === 'base') {
      const prompts = this.input.items.map(({ prompt }) => ({ prompt }));
      answers.promptSafe = await this.guard.score(prompts, { signal });
      if (this.moreAnswers > 0) answers.sampledSafe = await this.sampledSafe();
    }
    answers.refusalScores =
      name === 'guarded' ? this.guardedRefusalScores(base!) : await this.refusalScores(name);
    if (key !== null) await references?.put(key, answers);
    return answers;
  }

  /** What stands before a system's answer to each item, as tokens. */
  conditioned(name: SystemName): readonly number[][] {
    const { chat, domain } = this.deps;
    const system = systemText(name, domain, this.input.adapterSystem);
    if (system === undefined) return this.prompts;
    return this.input.items.map(({ prompt }) => chat.encodeChat({ system, user: prompt }));
  }

  adaptationOf(name: SystemName): Adaptation {
    return name === 'adapter' ? this.input.adaptation : null;
  }

  /**
   * How likely the teacher refuses each prompt: 1 − s(x), or u(x), the mean of 1 − s(x, r) over as
   * many sampled answers of the base as the guard case names. One answer alone would say 0 or 1 where
   * the base now complies and now does not, and no student could agree with that.
   */
  expectedRefusal(base: SystemAnswers): number[] {
    const first = this.teacherSafe(base);
    return first.map((safe, i) => {
      // Kept answers may hold more than this guard case reads.
      const raw = base.sampledSafe?.[i]?.slice(0, this.moreAnswers) ?? [];
      const more = raw.map((s) => teacherSafety(s, this.input.teacher));
      return [safe, ...more].reduce((sum, s) => sum + (1 - s), 0) / (1 + more.length);
    });
  }

  /** The teacher's s of every item: of its prompt, or of its prompt and the base's answer. */
  teacherSafe(base: SystemAnswers): number[] {
    return this.actedOn(base).map((s) => teacherSafety(s, this.input.teacher));
  }

  /** The guard's raw P(safe) that the guarded system goes by, of every item. */
  private actedOn({ promptSafe, guardSafe }: SystemAnswers): number[] {
    return readByGuard(this.input.guardCase, { prompt: promptSafe!, answer: guardSafe });
  }

  private async generated(name: SystemName): Promise<Pick<SystemAnswers, 'tokens' | 'logProbs'>> {
    const { chat, engine } = this.deps;
    const { items, temperature, seed, maxNewTokens } = this.input;
    const before = this.done;
    const conditioned = this.conditioned(name);
    const generated = await engine.generate(
      items.map((item, i) => ({
        prompt: conditioned[i]!,
        stream: hash32('evaluate', item.id),
      })),
      {
        temperature,
        seed,
        maxNewTokens,
        stopTokens: chat.stopTokens,
        ...generateWith(this.adaptationOf(name)),
        signal: this.hooks.signal,
        onProgress: (done) => this.advance(before + done - this.done),
      },
    );
    this.hooks.signal?.throwIfAborted();
    this.advance(before + items.length - this.done);
    return {
      tokens: generated.map(({ tokens }) => tokens),
      logProbs: generated.map(({ logProbs }) => logProbs),
    };
  }

  /** Answers of the base to each prompt beyond the one that is evaluated. */
  private get moreAnswers(): number {
    const { guardCase, temperature } = this.input;
    // Greedy, the base has one answer.
    return guardCase.kind === 'response' && temperature === 1 ? guardCase.samples - 1 : 0;
  }

  /** The guard's raw P(safe) of those answers, [items][moreAnswers]. */
  private async sampledSafe(): Promise<number[][]> {
    const { chat, engine } = this.deps;
    const { items, seed, maxNewTokens } = this.input;
    const { signal } = this.hooks;
    const more = this.moreAnswers;
    const generated = await engine.generate(
      items.flatMap(({ id }, i) =>
        Array.from({ length: more }, (_, k) => ({
          prompt: this.prompts[i]!,
          stream: hash32('evaluate', id, k + 1),
        })),
      ),
      { temperature: 1, seed, maxNewTokens, stopTokens: chat.stopTokens, signal },
    );
    signal?.throwIfAborted();
    const texts = decodeAll(
      chat,
      generated.map(({ tokens }) => tokens),
    );
    const pairs = texts.map((response, i) => {
      return { prompt: items[Math.floor(i / more)]!.prompt, response };
    });
    const safe = await this.guard.score(pairs, { signal });
    return items.map((_, i) => [...safe.slice(i * more, (i + 1) * more)]);
  }

  private guardedAnswers(base: SystemAnswers): Pick<SystemAnswers, 'tokens' | 'logProbs'> {
    const { chat, domain } = this.deps;
    const { items, seed, teacher, temperature } = this.input;
    const refusals = domain.refusals.map((text) => chat.encodeAnswer(text));
    const raw = this.actedOn(base);
    const tokens = items.map(({ id }, i) => {
      const random = temperature === 0 ? null : new Random('guarded', seed, id);
      return guardedReply(base.tokens[i]!, raw[i]!, teacher, refusals, random).answer;
    });
    this.advance(items.length);
    return { tokens, logProbs: [] };
  }

  private async refusalScores(name: SystemName): Promise<number[]> {
    return refusalScores(
      this.deps.engine,
      this.conditioned(name),
      refusalOpenings(this.refusals),
      this.adaptationOf(name),
      this.hooks.signal,
    );
  }

  /**
   * Exact in case A: P(R) = s·π(R) + 1 − s. In case B it would take s(x, r) of every answer that
   * begins with R, which nobody has.
   */
  private guardedRefusalScores(base: SystemAnswers): number[] | null {
    const scores = base.refusalScores;
    if (this.input.guardCase.kind === 'response' || !scores) return null;
    return this.teacherSafe(base).map((safe, i) =>
      refusalScore([Math.log(safe * sigmoid(scores[i]!) + 1 - safe)]),
    );
  }

  /** Everything that a reference's answers and scores depend on. */
  private referenceKey(name: SystemName): string {
    const { input, deps } = this;
    const { ids, domain } = deps;
    const parts: (string | number)[] = [ids.student, ids.guard, ids.judge];
    parts.push(contentHash(input.items), input.temperature, input.seed, input.maxNewTokens);
    parts.push(hash32(...domain.refusals));
    if (deps.chat.format !== null) parts.push(deps.chat.format);
    if (name === 'preamble') parts.push(hash32(domain.preamble));
    if (name === 'guarded') {
      const { strictness, guardTemperature, guardClip } = input.teacher;
      parts.push(input.guardCase.kind, strictness, guardTemperature, guardClip);
    }
    return `reference-3/${name}/${parts.join('/')}`;
  }

  private advance(count: number): void {
    this.done += count;
    this.hooks.onProgress?.(this.done, this.total);
  }
}
