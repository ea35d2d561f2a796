/** An answer of one of the chat's systems, and how the guarded system comes by its own. */
import { Random } from '../../../distill/statistics/prng';
import { guardedReply, readByGuard } from '../../../distill/target/guarded-system';
import type { Recipe } from '../../../distill/types';
import type { Problem } from '../errors';

export type ChatSystem = 'base' | 'adapter' | 'guarded';

export interface Cost {
  /** What this system needs beside the page: weights, and prompt or guard. */
  bytes: number | null;
  extraBytes: number;
  /**
   * Milliseconds to the first token, the guard's reading included where there is one; null where an
   * answer comes all at once.
   */
  firstTokenMs: number | null;
  tokensPerSecond: number | null;
}

export interface Answer {
  state: 'waiting' | 'writing' | 'done' | 'failed';
  /** As much as there is of it. */
  text: string;
  guardSafe: number | null;
  judgeSafe: number | null;
  cost: Cost | null;
  problem: Problem | null;
  /** Something to know about how this answer came to be. */
  note: string | null;
}

export const EMPTY: Answer = {
  state: 'waiting',
  text: '',
  guardSafe: null,
  judgeSafe: null,
  cost: null,
  problem: null,
  note: null,
};

/** What the guarded system acts on. */
export interface GuardReading {
  of: 'question' | 'answer';
  /** The guard's P(safe), as it says. */
  safe: number;
}

export interface GuardedInput {
  question: string;
  /** The base's whole answer, how long it took and what it cost. */
  base: { text: string; milliseconds: number; cost: Cost };
  reading: GuardReading;
  /** How long the guard read. */
  guardMs: number;
  guardBytes: number;
  recipe: Recipe;
  /** The recipe is known to have had another guard than the one that has read. */
  otherGuard: boolean;
  refusals: readonly string[];
  sampled: boolean;
  seed: number;
}

/** What a recipe's guard is asked: about the question alone, or about it and the base's answer. */
export function guardItem({ guardCase }: Pick<Recipe, 'guardCase'>, prompt: string, text: string) {
  return readByGuard(guardCase, {
    prompt: { of: 'question', item: { prompt } } as const,
    answer: { of: 'answer', item: { prompt, response: text } } as const,
  });
}

/** The guarded system's answer: what the base said, or a refusal in its place. */
export function guardedAnswer(input: GuardedInput): Partial<Answer> {
  const { question, base, reading, guardMs, recipe, refusals, sampled, seed } = input;
  const random = sampled ? new Random('guarded', seed, question) : null;
  const reply = guardedReply(base.text, reading.safe, recipe, refusals, random);
  const { passes, safe } = reply;
  const { firstTokenMs, tokensPerSecond, bytes } = base.cost;
  const after = reading.of === 'answer' ? base.milliseconds : passes ? (firstTokenMs ?? 0) : 0;
  return {
    state: 'done',
    text: reply.answer,
    note: guardedNote(input, passes, safe),
    cost: {
      bytes,
      extraBytes: input.guardBytes,
      // An answer that is read first is out all at once, after its last token.
      firstTokenMs: guardMs + after,
      tokensPerSecond: passes && reading.of === 'question' ? tokensPerSecond : null,
    },
  };
}

const NOTES = {
  question: {
    passes: 'The guard let the question through; the base model answered.',
    stops: 'The guard stopped the question; the student was never asked.',
  },
  answer: {
    passes: 'The guard read the answer of the base model and let it through.',
    stops: 'The guard read the answer of the base model; a refusal took its place.',
  },
};

function guardedNote({ reading, otherGuard }: GuardedInput, passes: boolean, safe: number) {
  const notes: string[] = [NOTES[reading.of][passes ? 'passes' : 'stops']];
  // As many digits as verdicts show.
  const [said, acted] = [reading.safe.toFixed(2), safe.toFixed(2)];
  if (said !== acted) {
    notes.push(
      `With the recipe’s strictness, temperature and clip its ${said} counts as ${acted}.`,
    );
  }
  if (otherGuard) {
    notes.push('The run was trained with another guard than the one that is loaded here.');
  }
  return notes.join(' ');
}
