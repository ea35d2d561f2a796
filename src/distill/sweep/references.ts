/** Systems that no cell of a sweep trains: measured once for all cells that agree on them. */
import type { Recipe, SystemName } from '../types';

export const REFERENCES = ['base', 'preamble', 'guarded'] as const satisfies readonly SystemName[];
export type ReferenceName = (typeof REFERENCES)[number];

/** What of a recipe decides how a reference answers and how the guard scores it. */
export type ReferenceRecipe = Pick<
  Recipe,
  | 'student'
  | 'guard'
  | 'maxNewTokens'
  | 'guardCase'
  | 'strictness'
  | 'guardTemperature'
  | 'guardClip'
>;

/** The same for recipes whose reference is the same system, on the same prompts. */
export function referenceKey(name: ReferenceName, recipe: ReferenceRecipe): string {
  const { student, guard, maxNewTokens } = recipe;
  const models = [name, student, guard, maxNewTokens];
  if (name !== 'guarded') return JSON.stringify(models);
  const { guardCase, strictness, guardTemperature, guardClip } = recipe;
  // How many answers u(x) is estimated from changes nothing that the guarded system says.
  return JSON.stringify([...models, guardCase.kind, strictness, guardTemperature, guardClip]);
}

export function sameReference(
  name: ReferenceName,
  a: ReferenceRecipe,
  b: ReferenceRecipe,
): boolean {
  return referenceKey(name, a) === referenceKey(name, b);
}
