/**
 * The frozen student's answers, drawn as training comes to need them: a few batches ahead of the step,
 * never all before the first. The same answers as `prepare` draws, whatever is drawn together: each has
 * a random stream of its own. What was drawn is kept, so that the next run goes on from there.
 */
import type { ChatTokenizer } from '../data/chat';
import type { StudentEngine } from '../engine-port';
import {
  drawAnswers,
  isAnswer,
  keyedData,
  keyPath,
  PreparedDataError,
  type PreparedKey,
  type PrepareHooks,
} from '../train/prepare';
import type { Plan, PlannedExample } from './paths';
import type { PromptItem } from '../types';

/** Steps whose answers are drawn together: one batch of them alone leaves a GPU idle. */
export const STEPS_AHEAD = 4;

/** Prepared data of which some answers are not drawn yet. */
export interface PartialAnswers {
  version: 1;
  key: PreparedKey;
  /** The guard's raw P(safe) of each prompt. */
  safe: number[];
  /** Null where none was needed so far. */
  samples: (number[] | null)[];
}

/** The key as one line, for caches. */
export function partialKeyText(key: PreparedKey): string {
  return `answers-1/${keyPath(key)}`;
}

/**
 * Checks data that was cached against what is to be trained.
 * @throws PreparedDataError
 */
export function parsePartial(
  value: unknown,
  key: PreparedKey,
  count: number,
  vocabSize: number,
): PartialAnswers {
  const { safe, samples } = keyedData<PartialAnswers>(value, key);
  const isScore = (s: unknown) => typeof s === 'number' && s >= 0 && s <= 1;
  if (!Array.isArray(safe) || safe.length !== count || !safe.every(isScore)) {
    throw new PreparedDataError(
      `Kept answers need a score from 0 to 1 for each of ${count} prompts.`,
    );
  }
  const isSample = (sample: unknown) =>
    sample === null || isAnswer(sample, key.maxNewTokens, vocabSize);
  if (!Array.isArray(samples) || samples.length !== count || !samples.every(isSample)) {
    throw new PreparedDataError(
      `Kept answers must be tokens of this student, or none, for each of ${count} prompts.`,
    );
  }
  return { version: 1, key, safe: safe as number[], samples: samples as PartialAnswers['samples'] };
}

export interface SupplyDeps {
  engine: StudentEngine;
  chat: ChatTokenizer;
  /** Keeps what was drawn so far. */
  save?: (data: PartialAnswers) => Promise<void>;
}

/** Draws the answers that the examples of a plan still lack, in `data` and in the plan's paths. */
export class AnswerSupply {
  constructor(
    private readonly items: readonly PromptItem[],
    private readonly data: PartialAnswers,
    private readonly deps: SupplyDeps,
    private readonly onProgress: PrepareHooks['onProgress'],
  ) {}

  /**
   * Makes sure that the examples at `positions` of the plan have their answers. Where one lacks it,
   * those of `ahead` are drawn, too.
   * @throws the signal's reason when aborted
   */
  async draw(
    plan: Plan,
    positions: readonly number[],
    ahead: () => readonly number[],
    signal?: AbortSignal,
  ): Promise<void> {
    const lacks = (position: number) => plan.examples[position]!.paths.some((path) => path.pending);
    if (!positions.some(lacks)) return;
    const wanted = [...new Set([...positions, ...ahead()])].filter(lacks);
    const items = wanted.map((position) => this.items[plan.examples[position]!.index]!);
    const answers = await drawAnswers(items, this.data.key, this.deps, {
      signal,
      onProgress: this.onProgress,
    });
    for (const [i, position] of wanted.entries()) {
      const example = plan.examples[position]!;
      this.data.samples[example.index] = answers[i]!;
      plan.examples[position] = withAnswer(example, answers[i]!);
    }
    await this.deps.save?.({ ...this.data });
  }
}

function withAnswer(example: PlannedExample, tokens: number[]): PlannedExample {
  const paths = example.paths.map(({ pending, ...path }) => (pending ? { ...path, tokens } : path));
  return { ...example, paths };
}
