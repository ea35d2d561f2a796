/**
 * Trained values as text, for documents of results where no link carries them: halves, in the order
 * of the adapter's layout, little endian, base64url.
 */
import { decodeBase64Url, encodeBase64Url } from '../../formats/share/base64url';
import { float16ToFloat32, float32ToFloat16 } from '../../formats/float16';
import { parseRecipe, RecipeError } from '../train/recipe';
import { fieldsOf, join, SpecError } from '../data/spec-fields';
import type { Recipe } from '../types';

/** More make a document of a hundred cells too large to be worth it. */
export const MAX_KEPT_VALUES = 4096;
const MAX_CHARACTERS = Math.ceil((MAX_KEPT_VALUES * 2 * 4) / 3);

export interface KeptValues {
  /** The student that they belong to, as in `RunRecord`. */
  modelId: string;
  values: string;
}

/** What was trained, and on which model. */
export interface Trained {
  modelId: string;
  recipe: Recipe;
  values: Float32Array;
}

/** Null where there are none, too many, or some that no half can hold. */
export function keepValues(modelId: string, values: Float32Array): KeptValues | null {
  if (values.length === 0 || values.length > MAX_KEPT_VALUES) return null;
  const halves = float32ToFloat16(values);
  if (!float16ToFloat32(halves).every(Number.isFinite)) return null;
  const bytes = new DataView(new ArrayBuffer(2 * halves.length));
  halves.forEach((half, i) => bytes.setUint16(2 * i, half, true));
  return { modelId, values: encodeBase64Url(new Uint8Array(bytes.buffer)) };
}

/**
 * @param kept a `KeptValues` of untrusted JSON, with the recipe beside it
 * @throws SpecError, which names the field
 */
export function readKeptValues(kept: unknown, recipe: unknown, path: string): Trained {
  const { modelId, values: text } = fieldsOf(kept, path);
  if (typeof modelId !== 'string') {
    throw new SpecError(join(path, 'modelId'), `${path}.modelId must name a model.`);
  }
  return { modelId, recipe: recipeOf(recipe, path), values: halvesOf(text, join(path, 'values')) };
}

function halvesOf(text: unknown, path: string): Float32Array {
  const decoded =
    typeof text === 'string' && text.length <= MAX_CHARACTERS ? decodeBase64Url(text) : null;
  const bytes = decoded?.ok ? decoded.bytes : new Uint8Array();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const halves = Uint16Array.from({ length: bytes.length >> 1 }, (_, i) =>
    view.getUint16(2 * i, true),
  );
  const values = float16ToFloat32(halves);
  if (bytes.length === 0 || bytes.length % 2 !== 0 || !values.every(Number.isFinite)) {
    throw new SpecError(path, `${path} must be at most ${MAX_KEPT_VALUES} halves in base64url.`);
  }
  return values;
}

function recipeOf(value: unknown, path: string): Recipe {
  try {
    return parseRecipe(fieldsOf(value, path));
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    throw new SpecError(path, `The recipe beside ${path} cannot be used. ${error.message}`);
  }
}
