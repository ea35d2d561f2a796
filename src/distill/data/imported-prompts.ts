/**
 * Prompts that a person brought, in training and in evaluation: how a recipe names them, what of
 * them fits a student, and what a run then trains on.
 */
import type { ChatTokenizer } from './chat';
import { TextTooLongError } from './chat-template';
import { contentHash } from './dataset';
import { choiceField, cut, fieldsOf, join, onlyFields, SpecError } from './spec-fields';
import type { PromptItem, RecipeData } from '../types';

/** A set as it is handed to whoever trains or evaluates. */
export interface ImportedSet {
  name: string;
  items: readonly PromptItem[];
}

const MODES = ['replace', 'add'] as const;
/** Characters. */
export const MAX_SET_NAME = 80;

/** @throws SpecError */
export function parseRecipeData(value: unknown, path = 'data'): RecipeData {
  const fields = fieldsOf(value, path);
  onlyFields(fields, ['prompts', 'name', 'hash'], path);
  const { name, hash } = fields;
  if (typeof name !== 'string' || name === '' || name.length > MAX_SET_NAME) {
    throw new SpecError(
      join(path, 'name'),
      `${path} needs a name of 1 to ${MAX_SET_NAME} characters.`,
    );
  }
  if (typeof hash !== 'string' || !/^[0-9a-f]{16}$/.test(hash)) {
    throw new SpecError(
      join(path, 'hash'),
      `${path} needs the hash of its prompts, 16 hex digits.`,
    );
  }
  return {
    prompts: choiceField(fields, 'prompts', MODES, path),
    // Names were once cut in the middle of a character.
    name: name.replace(/\p{Surrogate}/gu, '\uFFFD'),
    hash,
  };
}

/** How a recipe names `set`. */
export function recipeData(
  { name, items }: ImportedSet,
  prompts: RecipeData['prompts'],
): RecipeData {
  return { prompts, name: cut(name, MAX_SET_NAME), hash: contentHash(items) };
}

export interface FitOptions {
  chat: Pick<ChatTokenizer, 'encodeChat'>;
  maxPositions: number;
  /** Vectors in front. */
  virtualTokens: number;
  maxNewTokens: number;
  /** A text in the system role, where a system that is compared has one. */
  system?: string;
}

/** The prompts that leave room for what stands before them and for a whole answer. */
export function fittingPrompts(items: readonly PromptItem[], options: FitOptions): PromptItem[] {
  const { chat, maxPositions, virtualTokens, maxNewTokens, system } = options;
  const room = maxPositions - virtualTokens - maxNewTokens;
  const around = system === undefined ? {} : { system };
  const fits = (user: string) => {
    try {
      return chat.encodeChat({ ...around, user }).length <= room;
    } catch (error) {
      if (error instanceof TextTooLongError) return false;
      throw error;
    }
  };
  return items.filter(({ prompt }) => fits(prompt));
}

/** What a run trains on instead of the bundled prompts alone. */
export interface ImportedTraining {
  train: PromptItem[];
  imported: { /** Of the whole set. */ hash: string; tooLong: number };
}

/**
 * What a run of a recipe with `data` trains on; ids of added prompts cannot meet bundled ones.
 * @throws RangeError where the set is not the recipe's, or nothing of it fits
 */
export function trainingPrompts(
  bundled: readonly PromptItem[],
  data: RecipeData,
  { items }: ImportedSet,
  fit: FitOptions,
): ImportedTraining {
  if (contentHash(items) !== data.hash) {
    throw new RangeError(`The prompts of “${data.name}” are not those that the recipe names.`);
  }
  const fitting = fittingPrompts(items, fit);
  if (fitting.length === 0) {
    throw new RangeError(`No prompt of “${data.name}” is short enough for this student.`);
  }
  const imported = { hash: data.hash, tooLong: items.length - fitting.length };
  if (data.prompts === 'replace') return { train: fitting, imported };
  const added = fitting.map((item) => ({ ...item, id: `imported/${item.id}` }));
  return { train: [...bundled, ...added], imported };
}
