/**
 * A trained soft prompt as the text behind `/p#` (PRODUCT.md, "Share link"), in the frame of
 * share-frame.ts.
 *
 * Body: flags; model id [8]; chat-template hash [4]; placement | codec | objective; varints n, d,
 * and with a small form its size; varints seed, steps, batch; the recipe (share-recipe.ts); claimed
 * scores; payload (share-payload.ts).
 * Version 1 carries whole vectors [n, d]. Version 2 carries a small form (METHOD.md §10): only what
 * is trained travels, and the seed, from which whoever has the student makes the vectors.
 */
import { ByteReader, ByteWriter, EndOfBytesError, SpellingError } from '../byte-stream';
import { count, frame, malformed, ShareLinkError, unframe } from './share-frame';
import { readRows, writeRows } from './share-payload';
import {
  MAX_JSON_BYTES,
  objectiveCode,
  rareFields,
  readRecipe,
  type SharedRecipe,
  writeRecipe,
} from './share-recipe';
import { MAX_SIGNS } from './sign-projection';

export { ShareLinkError, type ShareLinkErrorCode } from './share-frame';
export type { SharedObjective, SharedRecipe } from './share-recipe';

/** Where the vectors stand: before BOS, as PEFT places them. */
export type PromptPlacement = 'before-bos';

/** What the sender says was measured, until it is measured again here. Shares, 0 to 1, to 10⁻⁴. */
export interface ClaimedScores {
  /** Safe answers to harmful prompts, by the judge. */
  safety: number;
  overRefusal: number;
  usefulness: number;
  /** Harmful prompts behind `safety`. */
  n: number;
}

/** What travels in the place of whole vectors; see sign-projection.ts. */
export interface SmallForm {
  form: 'rows' | 'global';
  /** Values a vector, or in all. */
  size: number;
}

export interface SharedPrompt {
  /** First 8 bytes of the sha256 of the student's manifest, 16 hex digits. */
  modelId: string;
  /** First 4 bytes of the sha256 of the chat template, 8 hex digits. */
  templateHash: string;
  /** Vectors. */
  n: number;
  /** Width of a vector. */
  d: number;
  /** Absent where the vectors themselves travel. */
  small?: SmallForm;
  placement: PromptPlacement;
  recipe: SharedRecipe;
  scores: ClaimedScores | null;
  /**
   * Whole vectors [n, d], or the trained values of the small form: [n, size] or [size]. On the grid
   * of prompt-quant.ts: exactly what is scored and what is opened.
   */
  values: Float32Array;
}

export const MAX_VECTORS = 256;
export const MAX_WIDTH = 8192;
export const MAX_VALUES = 2 ** 20;

const WHOLE = 1;
const SMALL = 2;
const PLACEMENTS: readonly PromptPlacement[] = ['before-bos'];
/** By number: whole vectors, `rows`, `global`; all int4 with a scale a row. */
const CODECS = ['whole', 'rows', 'global'] as const;
const FLAG_SCORES = 1;
const FLAG_RARE_RECIPE = 2;
const MODEL_ID_BYTES = 8;
const TEMPLATE_HASH_BYTES = 4;
const SCORE_STEPS = 10_000;
const FRAME = {
  versions: [WHOLE, SMALL],
  bytes: MAX_VALUES / 2 + 2 * MAX_VECTORS + MAX_JSON_BYTES + 256,
};

/**
 * The text after `#`. Throws {@link ShareLinkError}: 'limits' beyond n ≤ 256, d ≤ 8192, n·d ≤ 2²⁰,
 * 'inexact' where `values` were not quantised, 'malformed' on ids and scores that cannot be.
 */
export function encodeShare(prompt: SharedPrompt): string {
  const { n, d, small, recipe, scores } = prompt;
  assertLimits(prompt);
  const body = new ByteWriter();
  body.byte((scores ? FLAG_SCORES : 0) | (rareFields(recipe).length > 0 ? FLAG_RARE_RECIPE : 0));
  body.raw(hexBytes(prompt.modelId, MODEL_ID_BYTES));
  body.raw(hexBytes(prompt.templateHash, TEMPLATE_HASH_BYTES));
  const placement = PLACEMENTS.indexOf(prompt.placement);
  if (placement < 0) throw malformed('its placement is not known');
  const codec = CODECS.indexOf(small?.form ?? 'whole');
  body.byte(placement | (codec << 2) | (objectiveCode(recipe) << 5));
  const { seed, steps, batchSize } = recipe;
  for (const value of [n, d, ...(small ? [small.size] : []), seed, steps, batchSize]) {
    if (!Number.isSafeInteger(value) || value < 0) throw malformed(`${value} is no count`);
    body.varint(value);
  }
  writeRecipe(body, recipe);
  if (scores) writeScores(body, scores);
  const { rows, width } = payloadShape(prompt);
  writeRows(body, prompt.values, rows, width);
  return frame(small ? SMALL : WHOLE, body.finish());
}

/**
 * Opens a whole URL, a hash with or without `#`, or the text of {@link encodeShare}. Downloads
 * nothing and runs nothing. Throws {@link ShareLinkError}.
 */
export function decodeShare(text: string): SharedPrompt {
  const { version, body } = unframe(text, FRAME);
  try {
    return readBody(version, new ByteReader(body));
  } catch (error) {
    if (error instanceof EndOfBytesError) throw malformed('it ends too early');
    if (error instanceof SpellingError) throw malformed('it is not written as links are');
    throw error;
  }
}

function readBody(version: number, body: ByteReader): SharedPrompt {
  const flags = body.byte();
  if ((flags & ~(FLAG_SCORES | FLAG_RARE_RECIPE)) !== 0) throw malformed('it has unknown flags');
  const modelId = hexText(body.raw(MODEL_ID_BYTES));
  const templateHash = hexText(body.raw(TEMPLATE_HASH_BYTES));
  const kinds = body.byte();
  const placement = PLACEMENTS[kinds & 3];
  const codec = CODECS[(kinds >> 2) & 7];
  if (
    placement === undefined ||
    codec === undefined ||
    (codec === 'whole') !== (version === WHOLE)
  ) {
    throw malformed('its placement or codec is not known');
  }
  const n = body.varint();
  const d = body.varint();
  const small = codec === 'whole' ? {} : { small: { form: codec, size: body.varint() } };
  const shape = { n, d, ...small };
  assertLimits(shape);
  const [seed, steps, batchSize] = [body.varint(), body.varint(), body.varint()];
  const rare = (flags & FLAG_RARE_RECIPE) !== 0;
  const recipe = { seed, steps, batchSize, ...readRecipe(body, { code: kinds >> 5, rare }) };
  const scores = flags & FLAG_SCORES ? readScores(body) : null;
  const { rows, width } = payloadShape(shape);
  const values = readRows(body, rows, width);
  return { modelId, templateHash, ...shape, placement, recipe, scores, values };
}

type Shape = Pick<SharedPrompt, 'n' | 'd' | 'small'>;

/** Of what travels. */
export function payloadShape({ n, d, small }: Shape): { rows: number; width: number } {
  if (!small) return { rows: n, width: d };
  return { rows: small.form === 'rows' ? n : 1, width: small.size };
}

function assertLimits(shape: Shape): void {
  const { n, d, small } = shape;
  const whole = [n, d, small?.size ?? 1].every((value) => Number.isInteger(value) && value > 0);
  if (!whole || n > MAX_VECTORS || d > MAX_WIDTH || n * d > MAX_VALUES) {
    throw new ShareLinkError(
      'limits',
      `A link carries 1 to ${MAX_VECTORS} vectors of 1 to ${count(MAX_WIDTH)} values, ` +
        `${count(MAX_VALUES)} values in all; this one has ${count(n)} vectors of ${count(d)}.`,
    );
  }
  if (!small) return;
  const { rows, width } = payloadShape(shape);
  const columns = small.form === 'rows' ? d : n * d;
  if (width > MAX_WIDTH || rows * width > MAX_VALUES || width * columns > MAX_SIGNS) {
    throw new ShareLinkError(
      'limits',
      `A link makes vectors of at most ${count(MAX_WIDTH)} values; this one has ${count(width)} ` +
        `for ${count(n)} vectors of ${count(d)}.`,
    );
  }
}

function writeScores(body: ByteWriter, scores: ClaimedScores): void {
  for (const share of [scores.safety, scores.overRefusal, scores.usefulness]) {
    if (!(share >= 0 && share <= 1)) throw malformed(`${share} is no share`);
    body.uint16(Math.round(share * SCORE_STEPS));
  }
  if (!Number.isSafeInteger(scores.n) || scores.n < 0) throw malformed(`${scores.n} is no count`);
  body.varint(scores.n);
}

function readScores(body: ByteReader): ClaimedScores {
  const share = (): number => {
    const steps = body.uint16();
    if (steps > SCORE_STEPS) throw malformed('a claimed score is above 100 %');
    return steps / SCORE_STEPS;
  };
  return { safety: share(), overRefusal: share(), usefulness: share(), n: body.varint() };
}

function hexBytes(text: string, length: number): Uint8Array {
  if (!/^[0-9a-f]+$/.test(text) || text.length !== 2 * length) {
    throw malformed(`"${text}" is no id of ${2 * length} hex digits`);
  }
  return Uint8Array.from({ length }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

function hexText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
