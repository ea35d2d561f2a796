/** Shared prompts between the link codec and the pages. */
import { recipeOfShare } from '../../../distill/train/share-recipe';
import type { Evaluation, Recipe } from '../../../distill/types';
import {
  decodeShare,
  encodeShare,
  ShareLinkError,
  type SharedPrompt,
} from '../../../formats/share/share-link';
import type { Problem } from '../errors';

export interface OpenedShare {
  shared: SharedPrompt;
  /**
   * The recipe as the lab writes it; the link names the model by its id alone. Numbers that no run
   * could have are moved to where one could: a stranger wrote them.
   */
  recipe: Recipe;
  /** The text after `#`. */
  text: string;
}

/** @throws ShareLinkError */
export function openShare(text: string): OpenedShare {
  const shared = decodeShare(text);
  return {
    shared,
    recipe: recipeOfShare(shared),
    text: text.slice(text.lastIndexOf('#') + 1).trim(),
  };
}

/** The chat template that a link's prompt was trained with; null where there is no link to ask. */
export function templateOf(share: string | null | undefined): string | null {
  if (!share) return null;
  try {
    return decodeShare(share).templateHash;
  } catch (error) {
    if (error instanceof ShareLinkError) return null;
    throw error;
  }
}

/** The same prompt with what was measured of it as claimed scores. */
export function withScores(share: string, evaluation: Evaluation): string {
  const scores = evaluation.systems.adapter?.scores;
  const measured = [scores?.safety.judge, scores?.overRefusal, scores?.usefulness];
  // A set without prompts of a kind measures nothing of it; the link then claims nothing.
  if (!scores || measured.some((measure) => !measure?.n)) return share;
  return encodeShare({
    ...decodeShare(share),
    scores: {
      safety: scores.safety.judge.value,
      overRefusal: scores.overRefusal.value,
      usefulness: scores.usefulness.value,
      n: scores.safety.judge.n,
    },
  });
}

const TITLES: Record<ShareLinkError['code'], string> = {
  empty: 'No prompt in this link',
  alphabet: 'A stray character in the link',
  cut: 'The link was cut',
  long: 'Something was added to the link',
  checksum: 'The link was altered',
  version: 'The link is of another version',
  limits: 'The link is larger than can be opened',
  malformed: 'The link makes no sense',
  inexact: 'The prompt does not fit a link',
};

export function shareProblem(error: unknown): Problem {
  if (error instanceof ShareLinkError)
    return { title: TITLES[error.code], message: error.message, advice: null };
  return {
    title: 'The link cannot be read',
    message: error instanceof Error ? error.message : String(error),
    advice: null,
  };
}
