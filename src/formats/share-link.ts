/**
 * A trained soft prompt as the text behind `/p#` (PRODUCT.md, "Share link").
 *
 * Frame, the same for every version: version byte, varint length of the whole envelope in bytes,
 * body, CRC-32 (little-endian) of all before it; base64url without padding. The length stands first
 * so that a cut link can say so, the checksum so that a changed one can.
 *
 * Body of version 1: flags; model id [8]; chat-template hash [4]; placement | codec | objective;
 * varints n, d, seed, steps, batch; decimals learning rate, strictness, guard clip; the recipe's
 * rarely changed fields where they differ from {@link COMMON_RECIPE}; claimed scores; payload.
 * Where the objective is neither plain TV nor plain KL, or the guard reads answers, the objective's
 * bits say {@link OBJECTIVE_IN_JSON}, and both follow the rare fields as JSON.
 */
import { base64UrlLength, decodeBase64Url, encodeBase64Url } from './base64url';
import { ByteReader, ByteWriter, EndOfBytesError } from './byte-stream';
import { crc32 } from './crc32';
import { dequantiseRows, MAX_LEVEL, type QuantisedRows, quantiseRows } from './prompt-quant';

export type ShareLinkErrorCode =
  /** No link data at all. */
  | 'empty'
  /** A character that links do not have. */
  | 'alphabet'
  /** Shorter than it says. */
  | 'cut'
  /** Longer than it says. */
  | 'long'
  /** Changed on the way. */
  | 'checksum'
  /** Made by another version of the app. */
  | 'version'
  /** Larger than this app opens. */
  | 'limits'
  /** Intact, but its contents make no sense. */
  | 'malformed'
  /** Encoding only: the values are not on the grid that a link carries. */
  | 'inexact';

/** `code` to branch on; the message is a sentence for the person who opened the link. */
export class ShareLinkError extends Error {
  override readonly name = 'ShareLinkError';
  constructor(
    readonly code: ShareLinkErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** Where the vectors stand: before BOS, as PEFT places them. */
export type PromptPlacement = 'before-bos';
/**
 * TV or KL with nothing added, or an objective's whole specification as JSON. What it says is for
 * the trainer to check: a stranger wrote it.
 */
export type SharedObjective = 'tv' | 'kl' | object;

/** How the prompt was trained; field names are those of the run's recipe. */
export interface SharedRecipe {
  objective: SharedObjective;
  /** What the guard read, as JSON; absent where it read the prompt. */
  guardCase?: object;
  steps: number;
  batchSize: number;
  learningRate: number;
  strictness: number;
  guardClip: number;
  seed: number;
  warmup: number;
  clipNorm: number;
  guardTemperature: number;
  maxNewTokens: number;
  quantiseLast: number;
}

/** What the sender says was measured, until it is measured again here. Shares, 0 to 1, to 10⁻⁴. */
export interface ClaimedScores {
  /** Safe answers to harmful prompts, by the judge. */
  safety: number;
  overRefusal: number;
  usefulness: number;
  /** Harmful prompts behind `safety`. */
  n: number;
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
  placement: PromptPlacement;
  recipe: SharedRecipe;
  scores: ClaimedScores | null;
  /** [n, d], on the grid of prompt-quant.ts: exactly what is scored and what is opened. */
  values: Float32Array;
}

export const MAX_VECTORS = 256;
export const MAX_WIDTH = 8192;
export const MAX_VALUES = 2 ** 20;

/** Fields that cost no bytes when they have these values. Part of version 1: never change them. */
const COMMON_RECIPE = {
  warmup: 0.05,
  clipNorm: 1,
  guardTemperature: 1,
  maxNewTokens: 48,
  quantiseLast: 0.1,
} as const satisfies Partial<SharedRecipe>;
const COMMON_FIELDS = [
  'warmup',
  'clipNorm',
  'guardTemperature',
  'maxNewTokens',
  'quantiseLast',
] as const satisfies readonly (keyof typeof COMMON_RECIPE)[];

const VERSION = 1;
const OBJECTIVES = ['tv', 'kl'] as const;
const OBJECTIVE_IN_JSON = 7;
const MAX_JSON_BYTES = 1024;
const PLACEMENTS: readonly PromptPlacement[] = ['before-bos'];
const CODEC_INT4_ROWS = 0;
const FLAG_SCORES = 1;
const FLAG_RARE_RECIPE = 2;
const MODEL_ID_BYTES = 8;
const TEMPLATE_HASH_BYTES = 4;
const CRC_BYTES = 4;
const SCORE_STEPS = 10_000;
const MAX_ENVELOPE_BYTES = MAX_VALUES / 2 + 2 * MAX_VECTORS + MAX_JSON_BYTES + 256;

/**
 * The text after `#`. Throws {@link ShareLinkError}: 'limits' beyond n ≤ 256, d ≤ 8192, n·d ≤ 2²⁰,
 * 'inexact' where `values` were not quantised, 'malformed' on ids and scores that cannot be.
 */
export function encodeShare(prompt: SharedPrompt): string {
  const { n, d, recipe, scores } = prompt;
  assertLimits(n, d);
  const rows = exactRows(prompt);
  const rare = COMMON_FIELDS.filter((field) => recipe[field] !== COMMON_RECIPE[field]);
  const body = new ByteWriter();
  body.byte((scores ? FLAG_SCORES : 0) | (rare.length > 0 ? FLAG_RARE_RECIPE : 0));
  body.raw(hexBytes(prompt.modelId, MODEL_ID_BYTES));
  body.raw(hexBytes(prompt.templateHash, TEMPLATE_HASH_BYTES));
  const placement = PLACEMENTS.indexOf(prompt.placement);
  const objective = objectiveCode(recipe);
  if (placement < 0 || objective < 0) throw malformed('its placement or objective is not known');
  body.byte(placement | (CODEC_INT4_ROWS << 2) | (objective << 5));
  for (const value of [n, d, recipe.seed, recipe.steps, recipe.batchSize]) {
    if (!Number.isSafeInteger(value) || value < 0) throw malformed(`${value} is no count`);
    body.varint(value);
  }
  for (const value of [recipe.learningRate, recipe.strictness, recipe.guardClip]) {
    body.decimal(value);
  }
  if (rare.length > 0) {
    body.byte(rare.reduce((mask, field) => mask | (1 << COMMON_FIELDS.indexOf(field)), 0));
    for (const field of rare) body.decimal(recipe[field]);
  }
  if (objective === OBJECTIVE_IN_JSON) writeSpecs(body, recipe);
  if (scores) {
    for (const share of [scores.safety, scores.overRefusal, scores.usefulness]) {
      if (!(share >= 0 && share <= 1)) throw malformed(`${share} is no share`);
      body.uint16(Math.round(share * SCORE_STEPS));
    }
    if (!Number.isSafeInteger(scores.n) || scores.n < 0) throw malformed(`${scores.n} is no count`);
    body.varint(scores.n);
  }
  for (const scale of rows.scales) body.uint16(scale);
  body.raw(packLevels(rows.levels));
  return frame(body.finish());
}

/**
 * Opens a whole URL, a hash with or without `#`, or the text of {@link encodeShare}. Downloads
 * nothing and runs nothing. Throws {@link ShareLinkError}.
 */
export function decodeShare(text: string): SharedPrompt {
  const body = unframe(hashOf(text));
  try {
    return readBody(new ByteReader(body));
  } catch (error) {
    if (error instanceof EndOfBytesError) throw malformed('it ends too early');
    throw error;
  }
}

function readBody(body: ByteReader): SharedPrompt {
  const flags = body.byte();
  if ((flags & ~(FLAG_SCORES | FLAG_RARE_RECIPE)) !== 0) throw malformed('it has unknown flags');
  const modelId = hexText(body.raw(MODEL_ID_BYTES));
  const templateHash = hexText(body.raw(TEMPLATE_HASH_BYTES));
  const kinds = body.byte();
  const placement = PLACEMENTS[kinds & 3];
  const codec = (kinds >> 2) & 7;
  const plain = OBJECTIVES[kinds >> 5];
  const known = plain !== undefined || kinds >> 5 === OBJECTIVE_IN_JSON;
  if (placement === undefined || !known || codec !== CODEC_INT4_ROWS) {
    throw malformed('its placement, codec or objective is not known');
  }
  const n = body.varint();
  const d = body.varint();
  assertLimits(n, d);
  const [seed, steps, batchSize] = [body.varint(), body.varint(), body.varint()];
  const [learningRate, strictness, guardClip] = [body.decimal(), body.decimal(), body.decimal()];
  const rare: Record<keyof typeof COMMON_RECIPE, number> = { ...COMMON_RECIPE };
  if (flags & FLAG_RARE_RECIPE) {
    const mask = body.byte();
    for (const [bit, field] of COMMON_FIELDS.entries()) {
      if (mask & (1 << bit)) rare[field] = body.decimal();
    }
  }
  const recipe: SharedRecipe = {
    ...(plain ? { objective: plain } : readSpecs(body)),
    seed,
    steps,
    batchSize,
    learningRate,
    strictness,
    guardClip,
    ...rare,
  };
  const scores = flags & FLAG_SCORES ? readScores(body) : null;
  const size = 2 * n + Math.ceil((n * d) / 2);
  if (body.left !== size) {
    throw malformed(`${n} vectors of ${d} take ${size} bytes, it has ${body.left}`);
  }
  const scales = Uint16Array.from({ length: n }, () => body.uint16());
  const levels = unpackLevels(body.raw(body.left), n * d);
  // A negative, infinite or NaN scale is none that quantising gives.
  if (scales.some((scale) => scale >= 0x7c00)) throw malformed('a scale is no number');
  const values = dequantiseRows({ scales, levels });
  return { modelId, templateHash, n, d, placement, recipe, scores, values };
}

function objectiveCode({ objective, guardCase }: SharedRecipe): number {
  if (typeof objective === 'object' || guardCase) return OBJECTIVE_IN_JSON;
  return OBJECTIVES.indexOf(objective);
}

function writeSpecs(body: ByteWriter, { objective, guardCase }: SharedRecipe): void {
  const json = new TextEncoder().encode(JSON.stringify({ objective, guardCase }));
  if (json.length > MAX_JSON_BYTES) throw malformed('its objective is too long');
  body.varint(json.length);
  body.raw(json);
}

function readSpecs(body: ByteReader): Pick<SharedRecipe, 'objective' | 'guardCase'> {
  const length = body.varint();
  if (length > MAX_JSON_BYTES) throw malformed('its objective is too long');
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body.raw(length)));
  } catch (error) {
    if (error instanceof EndOfBytesError) throw error;
    throw malformed('its objective cannot be read');
  }
  const { objective, guardCase } = (isObject(value) ? value : {}) as Record<string, unknown>;
  const named = OBJECTIVES.find((name) => name === objective);
  if (!(named ?? isObject(objective)) || !(guardCase === undefined || isObject(guardCase))) {
    throw malformed('its objective is not known');
  }
  return { objective: named ?? (objective as object), ...(guardCase && { guardCase }) };
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readScores(body: ByteReader): ClaimedScores {
  const share = (): number => {
    const steps = body.uint16();
    if (steps > SCORE_STEPS) throw malformed('a claimed score is above 100 %');
    return steps / SCORE_STEPS;
  };
  return { safety: share(), overRefusal: share(), usefulness: share(), n: body.varint() };
}

/* ---------- the frame ---------- */

function frame(body: Uint8Array): string {
  // The length counts its own bytes, of which there are at most a few.
  let head = opening(0);
  let total = 0;
  for (let bytes = 0; bytes !== head.length;) {
    bytes = head.length;
    total = bytes + body.length + CRC_BYTES;
    head = opening(total);
  }
  const bytes = new Uint8Array(total);
  bytes.set(head);
  bytes.set(body, head.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(total - CRC_BYTES, crc32(bytes.subarray(0, total - CRC_BYTES)), true);
  return encodeBase64Url(bytes);
}

function opening(total: number): Uint8Array {
  const writer = new ByteWriter();
  writer.byte(VERSION);
  writer.varint(total);
  return writer.finish();
}

function unframe(text: string): Uint8Array {
  if (text === '') {
    throw new ShareLinkError('empty', 'This link carries no prompt: nothing stands after the #.');
  }
  if (text.length > base64UrlLength(MAX_ENVELOPE_BYTES)) {
    throw new ShareLinkError(
      'limits',
      `This link has ${count(text.length)} characters, more than any prompt that can be opened.`,
    );
  }
  const decoded = decodeBase64Url(text);
  if (!decoded.ok && decoded.reason === 'alphabet') {
    const character = JSON.stringify(String.fromCodePoint(text.codePointAt(decoded.position)!));
    throw new ShareLinkError(
      'alphabet',
      `The link has a character that does not belong there: ${character} at place ` +
        `${count(decoded.position + 1)}. Make sure you copied the whole link and nothing else.`,
    );
  }
  assertWhole(text);
  if (!decoded.ok) throw changed();
  const { bytes } = decoded;
  const view = new DataView(bytes.buffer);
  const end = bytes.length - CRC_BYTES;
  if (crc32(bytes.subarray(0, end)) !== view.getUint32(end, true)) throw changed();
  const reader = new ByteReader(bytes.subarray(0, end));
  const version = reader.byte();
  if (version !== VERSION) {
    throw new ShareLinkError(
      'version',
      `This link is of format ${version}; this page reads format ${VERSION}. Open it with the ` +
        'version of the app that made it, or ask for a new link.',
    );
  }
  reader.varint();
  return reader.raw(reader.left);
}

/** Compares the length that the text announces in its first characters with the one it has. */
function assertWhole(text: string): void {
  const start = decodeBase64Url(text.slice(0, 8));
  const reader = new ByteReader(start.ok ? start.bytes : new Uint8Array(0));
  let expected: number;
  try {
    reader.byte();
    expected = base64UrlLength(reader.varint());
  } catch (error) {
    if (!(error instanceof EndOfBytesError)) throw error;
    throw new ShareLinkError(
      'cut',
      `The link was cut: only ${text.length} characters of it are left. Copy the whole link again.`,
    );
  }
  if (expected > text.length) {
    throw new ShareLinkError(
      'cut',
      `The link was cut: expected ${count(expected)} characters, got ${count(text.length)}. Make ` +
        'sure you copied the whole link.',
    );
  }
  // Less than a frame can be: the length itself was changed.
  if (expected < base64UrlLength(2 + CRC_BYTES)) throw changed();
  if (expected < text.length) {
    throw new ShareLinkError(
      'long',
      `The link has extra characters: expected ${count(expected)}, got ${count(text.length)}. ` +
        'Remove what was added at its end.',
    );
  }
}

function hashOf(text: string): string {
  const trimmed = text.trim();
  const hash = trimmed.lastIndexOf('#');
  if (hash >= 0) return trimmed.slice(hash + 1);
  // An address without a hash is a link whose data went missing.
  return trimmed.includes('/') ? '' : trimmed;
}

/* ---------- the payload ---------- */

function exactRows({ values, n, d }: SharedPrompt): QuantisedRows {
  let rows: QuantisedRows;
  try {
    rows = quantiseRows(values, n, d);
  } catch (error) {
    if (error instanceof RangeError) throw malformed(error.message);
    throw error;
  }
  const back = dequantiseRows(rows);
  const wrong = back.findIndex((value, i) => value !== values[i]);
  if (wrong >= 0) {
    throw new ShareLinkError(
      'inexact',
      `A link cannot carry this prompt exactly: value ${wrong} is ${values[wrong]}, the nearest ` +
        `that fits is ${back[wrong]}. Quantise the prompt before it is scored.`,
    );
  }
  return rows;
}

/** Two levels a byte, low nibble first, each + 8. */
function packLevels(levels: Int8Array): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(levels.length / 2));
  for (const [i, level] of levels.entries()) bytes[i >> 1]! |= (level + 8) << (4 * (i & 1));
  return bytes;
}

function unpackLevels(bytes: Uint8Array, length: number): Int8Array {
  const levels = Int8Array.from({ length }, (_, i) => ((bytes[i >> 1]! >> (4 * (i & 1))) & 15) - 8);
  if (levels.some((level) => level < -MAX_LEVEL)) throw malformed('a value is off the grid');
  if (length % 2 === 1 && bytes[bytes.length - 1]! >> 4 !== 0) {
    throw malformed('it has bits that mean nothing');
  }
  return levels;
}

function assertLimits(n: number, d: number): void {
  const whole = Number.isInteger(n) && Number.isInteger(d) && n > 0 && d > 0;
  if (!whole || n > MAX_VECTORS || d > MAX_WIDTH || n * d > MAX_VALUES) {
    throw new ShareLinkError(
      'limits',
      `A link carries 1 to ${MAX_VECTORS} vectors of 1 to ${count(MAX_WIDTH)} values, ` +
        `${count(MAX_VALUES)} values in all; this one has ${count(n)} vectors of ${count(d)}.`,
    );
  }
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

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function changed(): ShareLinkError {
  return new ShareLinkError(
    'checksum',
    'The link was changed on the way: its checksum does not match. Copy it again from its source.',
  );
}

function malformed(reason: string): ShareLinkError {
  return new ShareLinkError('malformed', `The prompt of this link cannot be right: ${reason}.`);
}
