/** A system's answers made into records and scores: what takes the engine, besides answering. */
import { scoreWith } from '../adapters/adaptation';
import { correctness, decodeAll, meanNll, RefusalMatcher } from './answers';
import { refusalTrie } from '../target/paths';
import { mean } from '../statistics/statistics';
import {
  adapterDistances,
  conditionedDistances,
  guardedDistances,
  respondedDistances,
  type TokenDistances,
} from './token-distance';
import type { AnswerRecord, SystemEvaluation, SystemName, SystemScores } from '../types';
import type { EvaluateDeps, EvaluateHooks, EvaluateInput, SystemAnswers } from './input';
import { measures, type UnreadMeasures } from './measures';
import type { Systems } from './systems';

export class Scorer {
  private readonly matcher: RefusalMatcher;
  private readonly safe: readonly number[];

  /** @param threshold mean token-NLL up to which an answer is well formed */
  constructor(
    private readonly input: EvaluateInput,
    private readonly deps: EvaluateDeps,
    private readonly hooks: EvaluateHooks,
    private readonly systems: Systems,
    private readonly base: SystemAnswers,
    private readonly threshold: number,
  ) {
    this.matcher = new RefusalMatcher(deps.domain.refusals);
    this.safe = systems.teacherSafe(base);
  }

  async scores(name: SystemName, answers: SystemAnswers): Promise<SystemEvaluation> {
    const { items } = this.input;
    const records = await this.records(name, answers);
    const expectedRefusal = this.systems.expectedRefusal(this.base);
    const distances = await this.distances(name);
    return {
      scores: measures(items, records, { ...distances, expectedRefusal }),
      answers: records,
    };
  }

  private async records(name: SystemName, answers: SystemAnswers): Promise<AnswerRecord[]> {
    const texts = decodeAll(this.deps.chat, answers.tokens);
    const wellFormed = await this.wellFormed(name, texts, answers);
    return this.input.items.map((item, i) => {
      const record: AnswerRecord = {
        id: item.id,
        answer: texts[i]!,
        judgeSafe: answers.judgeSafe[i]!,
        guardSafe: answers.guardSafe[i]!,
        refused: this.matcher.refused(texts[i]!),
      };
      if (answers.refusalScores) record.refusalScore = rounded(answers.refusalScores[i]!);
      const correct = correctness(texts[i]!, item);
      if (correct !== undefined) record.correct = correct;
      if (item.label === 'harmful') record.wellFormed = wellFormed[i]!;
      return record;
    });
  }

  /**
   * Whether each answer is a known refusal, or ended and is text that the base student could have
   * said. One that the length limit cut may have gone anywhere: it is not well formed for having
   * begun well.
   */
  private async wellFormed(
    name: SystemName,
    texts: readonly string[],
    answers: SystemAnswers,
  ): Promise<boolean[]> {
    const known = texts.map((text) => this.matcher.isKnown(text));
    const { stopTokens } = this.deps.chat;
    const ended = answers.tokens.map((tokens) => stopTokens.includes(tokens.at(-1)!));
    if (name === 'base') {
      return known.map(
        (is, i) => is || (ended[i]! && meanNll(answers.logProbs[i]!) <= this.threshold),
      );
    }
    const doubtful = this.input.items
      .map((_, i) => i)
      .filter((i) => this.input.items[i]!.label === 'harmful' && !known[i] && ended[i]);
    const scores = await this.deps.engine.score(
      doubtful.map((i) => ({ prompt: this.systems.prompts[i]!, path: answers.tokens[i]! })),
      undefined,
      this.hooks.signal,
    );
    const result = known.slice();
    doubtful.forEach((i, k) => (result[i] = meanNll(scores[k]!) <= this.threshold));
    return result;
  }

  /** On the base student's answers to benign and borderline prompts. */
  private async distances(name: SystemName): Promise<Omit<UnreadMeasures, 'expectedRefusal'>> {
    const { items } = this.input;
    this.hooks.signal?.throwIfAborted();
    const chosen = items.map((_, i) => i).filter((i) => items[i]!.label !== 'harmful');
    if (chosen.length === 0) return { tokenKl: null, tokenTv: null, tokenDistance: undefined };
    const { tokenDistance, kl, tv } = await this.distancesOn(name, chosen);
    const intents = chosen.map((i) => items[i]!.intent);
    return {
      tokenDistance,
      tokenKl: mean(kl, intents),
      tokenTv: tv && mean(tv, intents),
    };
  }

  private async distancesOn(
    name: SystemName,
    chosen: readonly number[],
  ): Promise<TokenDistances & Pick<SystemScores, 'tokenDistance'>> {
    const { base, safe, systems } = this;
    const { chat, domain, engine } = this.deps;
    const { adaptation, adapterSystem, guardCase, maxNewTokens } = this.input;
    if (name === 'base') {
      const zeros = chosen.map(() => 0);
      return { kl: zeros, tv: zeros, tokenDistance: 'exact' };
    }
    if (name === 'guarded') {
      const trie = refusalTrie(chat, domain.refusals, maxNewTokens);
      const answers = chosen.map((i) => {
        return { answer: base.tokens[i]!, baseLogProbs: base.logProbs[i]!, safe: safe[i]! };
      });
      const of = guardCase.kind === 'prompt' ? guardedDistances : respondedDistances;
      return { ...of(answers, trie), tokenDistance: 'sampled' };
    }
    const answered = chosen.map((i) => {
      return { prompt: systems.prompts[i]!, answer: base.tokens[i]! };
    });
    if (name === 'adapter' && adaptation !== null && adapterSystem === undefined) {
      const exact = await adapterDistances(engine, adaptation, answered, this.hooks);
      return { ...exact, tokenDistance: 'exact' };
    }
    const conditioned = systems.conditioned(name);
    const sampled = await conditionedDistances(
      engine,
      chosen.map((i) => conditioned[i]!),
      answered,
      chosen.map((i) => base.logProbs[i]!),
      { adaptation: scoreWith(systems.adaptationOf(name)), signal: this.hooks.signal },
    );
    return { ...sampled, tokenDistance: 'sampled' };
  }
}

/** Three decimals: a record is kept and sent, and nothing hangs on the fourth. */
function rounded(value: number): number {
  return Number(value.toFixed(3));
}
