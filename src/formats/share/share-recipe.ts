/** The recipe inside a share link: numbers as bytes, specifications as JSON where they are not plain. */
import { type ByteReader, type ByteWriter, EndOfBytesError } from '../byte-stream';
import { malformed } from './share-frame';

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
  /** The imported prompts it was trained on, as JSON; absent where they were the bundled ones. */
  data?: object;
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

const OBJECTIVES = ['tv', 'kl'] as const;
const OBJECTIVE_IN_JSON = 7;
export const MAX_JSON_BYTES = 1024;

/** 3 bits: a plain objective, or that its JSON follows. Throws {@link ShareLinkError}. */
export function objectiveCode({ objective, guardCase, data }: SharedRecipe): number {
  if (typeof objective === 'object' || guardCase || data) return OBJECTIVE_IN_JSON;
  const code = OBJECTIVES.indexOf(objective);
  if (code < 0) throw malformed('its objective is not known');
  return code;
}

/** All but the objective's 3 bits. */
export function writeRecipe(body: ByteWriter, recipe: SharedRecipe): void {
  for (const value of [recipe.learningRate, recipe.strictness, recipe.guardClip]) {
    body.decimal(value);
  }
  const rare = rareFields(recipe);
  if (rare.length > 0) {
    body.byte(maskOf(rare));
    for (const field of rare) body.decimal(recipe[field]);
  }
  if (objectiveCode(recipe) === OBJECTIVE_IN_JSON) writeSpecs(body, recipe);
}

function maskOf(fields: readonly (typeof COMMON_FIELDS)[number][]): number {
  return fields.reduce((mask, field) => mask | (1 << COMMON_FIELDS.indexOf(field)), 0);
}

/** Fields that a link must spell out. */
export function rareFields(recipe: SharedRecipe): (typeof COMMON_FIELDS)[number][] {
  return COMMON_FIELDS.filter((field) => recipe[field] !== COMMON_RECIPE[field]);
}

/** Throws {@link ShareLinkError}; what the reader throws. */
export function readRecipe(
  body: ByteReader,
  { code, rare: hasRare }: { code: number; rare: boolean },
): Omit<SharedRecipe, 'seed' | 'steps' | 'batchSize'> {
  const plain = OBJECTIVES[code];
  if (plain === undefined && code !== OBJECTIVE_IN_JSON)
    throw malformed('its objective is not known');
  const [learningRate, strictness, guardClip] = [body.decimal(), body.decimal(), body.decimal()];
  const rare: Record<keyof typeof COMMON_RECIPE, number> = { ...COMMON_RECIPE };
  if (hasRare) {
    const mask = body.byte();
    for (const [bit, field] of COMMON_FIELDS.entries()) {
      if (mask & (1 << bit)) rare[field] = body.decimal();
    }
    const spelt = COMMON_FIELDS.filter((field) => rare[field] !== COMMON_RECIPE[field]);
    if (mask === 0 || mask !== maskOf(spelt)) throw malformed('it is not written as links are');
  }
  const specs = plain ? { objective: plain } : readSpecs(body);
  return { ...specs, learningRate, strictness, guardClip, ...rare };
}

function writeSpecs(body: ByteWriter, { objective, guardCase, data }: SharedRecipe): void {
  const json = new TextEncoder().encode(JSON.stringify({ objective, guardCase, data }));
  if (json.length > MAX_JSON_BYTES) throw malformed('its recipe is too long');
  body.varint(json.length);
  body.raw(json);
}

function readSpecs(body: ByteReader): Pick<SharedRecipe, 'objective' | 'guardCase' | 'data'> {
  const length = body.varint();
  if (length > MAX_JSON_BYTES) throw malformed('its recipe is too long');
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body.raw(length)));
  } catch (error) {
    if (error instanceof EndOfBytesError) throw error;
    throw malformed('its objective cannot be read');
  }
  const { objective, guardCase, data } = (isObject(value) ? value : {}) as Record<string, unknown>;
  const named = OBJECTIVES.find((name) => name === objective);
  if (!(named ?? isObject(objective)) || !isOptionalObject(guardCase) || !isOptionalObject(data)) {
    throw malformed('its objective is not known');
  }
  return {
    objective: named ?? (objective as object),
    ...(guardCase && { guardCase }),
    ...(data && { data }),
  };
}

function isOptionalObject(value: unknown): value is object | undefined {
  return value === undefined || isObject(value);
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
