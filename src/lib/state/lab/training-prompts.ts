/** The lab's choice of what is trained on, between a recipe and a select's text. */
import type { PromptSet } from '$lib/storage/prompt-sets';
import type { RecipeData } from '../../../distill/types';

type Chosen = Pick<RecipeData, 'prompts' | 'hash'>;

export const DATA_MODES: readonly { mode: RecipeData['prompts']; label: string }[] = [
  { mode: 'replace', label: 'An imported set alone' },
  { mode: 'add', label: 'The bundled prompts and a set' },
];

/** An option's value; '' stands for the bundled prompts alone. */
export function dataChoice(data: Chosen | undefined): string {
  return data ? `${data.prompts}/${data.hash}` : '';
}

/** What a recipe then says; undefined for the bundled prompts, and for a set that is not there. */
export function dataFrom(
  choice: string,
  sets: readonly Pick<PromptSet, 'name' | 'hash'>[],
): RecipeData | undefined {
  for (const { mode } of DATA_MODES) {
    const set = sets.find(({ hash }) => dataChoice({ prompts: mode, hash }) === choice);
    if (set) return { prompts: mode, name: set.name, hash: set.hash };
  }
  return undefined;
}
