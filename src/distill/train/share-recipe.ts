/** A link's recipe as a run's: pages and the command line open links alike. */
import { ShareLinkError, type SharedPrompt } from '../../formats/share/share-link';
import { ADAPTER_RANGES } from '../adapters/adapter-spec';
import type { Recipe } from '../types';
import { clampRecipe, RecipeError } from './recipe';

/**
 * The recipe that a link says its prompt was trained with; the link names the model by its id alone.
 * Numbers that no run could have are moved to where one could: a stranger wrote them.
 * @throws ShareLinkError where the link's vectors are more than a run has here, or its objective,
 *   guard case or form is none
 */
export function recipeOfShare({ recipe, n, small }: SharedPrompt): Recipe {
  const { max } = ADAPTER_RANGES.n;
  if (n > max) {
    throw new ShareLinkError(
      'limits',
      `This link has ${n} vectors; prompts of at most ${max} can be opened here.`,
    );
  }
  try {
    return clampRecipe({ ...recipe, adapter: { kind: 'soft-prompt', n, ...small } });
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    throw new ShareLinkError(
      'malformed',
      `The recipe of this link cannot be right: ${error.message}`,
    );
  }
}
