/**
 * From the values that are trained to what the engine is conditioned with: where they start, how a
 * link would carry them, and the adaptation that they are (METHOD.md §6, §10).
 */
import { adapterLayout, type TrainableShape } from '../../engine/trainable/shape';
import type { Tokens } from '../../engine/types';
import { dequantiseRows, quantiseRows } from '../../formats/share/prompt-quant';
import type { SharedPrompt } from '../../formats/share/share-link';
import {
  project,
  promptProjection,
  type SignProjection,
} from '../../formats/share/sign-projection';
import { adapterShape, virtualTokens, type Adaptation } from './adaptation';
import type { SoftPromptAdapter } from './adapter-spec';
import type { ChatTokenizer } from '../data/chat';
import type { StudentEngine } from '../engine-port';
import { Random } from '../statistics/prng';
import type { Recipe } from '../types';

export interface Parametrisation {
  /** Values before the first step. */
  readonly initial: Float32Array;
  /** What the engine trains. */
  readonly shape: TrainableShape;
  /** Of the small forms of a soft prompt: what is trained is θ, not the vectors. */
  readonly small: { projection: SignProjection; start: Float32Array } | null;
  /** The values that a link carries for `trained`; the same ones where there is no link. */
  quantised(trained: Float32Array): Float32Array;
  /** What the engine takes for `trained` values. */
  adaptation(trained: Float32Array): Exclude<Adaptation, null>;
}

/** Distinct ordinary tokens, drawn by the seed: a soft prompt starts as their embeddings. */
export function initialTokens(
  chat: ChatTokenizer,
  vocabSize: number,
  recipe: Pick<Recipe, 'adapter' | 'seed'>,
): Tokens {
  const order = new Random('initial', recipe.seed).permutation(vocabSize);
  const known = chat.vocabSize;
  const ordinary = [...order].filter((id) => id < known && !chat.specialTokens.has(id));
  return Array.from(
    { length: virtualTokens(recipe.adapter) },
    (_, i) => ordinary[i % ordinary.length]!,
  );
}

/** @throws RangeError for an adapter that has no values, or that this student cannot have */
export async function parametrisationOf(
  recipe: Recipe,
  engine: Pick<StudentEngine, 'config' | 'dim' | 'vocabSize' | 'embeddingRows'>,
  chat: ChatTokenizer,
): Promise<Parametrisation> {
  const { adapter, seed } = recipe;
  if (adapter.kind === 'preamble') throw new RangeError('A written preamble has no values.');
  if (adapter.kind === 'soft-prompt') {
    const tokens = initialTokens(chat, engine.vocabSize, recipe);
    return promptParametrisation(adapter, await engine.embeddingRows(tokens), engine.dim, seed);
  }
  const shape = adapterShape(adapter, engine.config)!;
  const { slices, length } = adapterLayout(shape, engine.config);
  const initial = new Float32Array(length);
  const random = new Random('adapter', seed);
  for (const { part, offset, rows, width } of slices) {
    // B and v are 0: the first step starts from the frozen student, whatever A is.
    if (part !== 'a') continue;
    const bound = 1 / Math.sqrt(width);
    for (let i = 0; i < rows * width; i++) initial[offset + i] = bound * (2 * random.next() - 1);
  }
  return {
    initial,
    shape,
    small: null,
    quantised: (trained) => trained,
    adaptation: (values) => ({ kind: 'adapter', shape, values }),
  };
}

function promptParametrisation(
  { n, form, size }: SoftPromptAdapter,
  start: Float32Array,
  dim: number,
  seed: number,
): Parametrisation {
  const shape = { kind: 'soft-prompt', n } as const;
  if (form === 'full') {
    return {
      initial: start,
      shape,
      small: null,
      quantised: (trained) => throughLink(trained, dim),
      adaptation: (values) => ({ kind: 'soft-prompt', values }),
    };
  }
  const projection = promptProjection(form, { n, dim, size, seed });
  return {
    initial: new Float32Array(projection.rows * projection.inner),
    shape,
    small: { projection, start },
    quantised: (trained) => throughLink(trained, size),
    adaptation: (trained) => ({ kind: 'soft-prompt', values: project(projection, start, trained) }),
  };
}

/**
 * The vectors of a shared prompt, [n, dim]: those of the link, or what its small form stands for.
 * @throws RangeError where they were made for another width than the student's
 */
export async function sharedVectors(
  { n, d, small, recipe, values }: SharedPrompt,
  engine: Pick<StudentEngine, 'dim' | 'vocabSize' | 'embeddingRows'>,
  chat: ChatTokenizer,
): Promise<Float32Array> {
  if (d !== engine.dim) throw new RangeError(`The vectors have ${d} values, not ${engine.dim}.`);
  if (!small) return values;
  const adapter: SoftPromptAdapter = { kind: 'soft-prompt', n, ...small };
  const { seed } = recipe;
  const tokens = initialTokens(chat, engine.vocabSize, { adapter, seed });
  const parametrisation = promptParametrisation(
    adapter,
    await engine.embeddingRows(tokens),
    engine.dim,
    seed,
  );
  return parametrisation.adaptation(values).values;
}

/** The values that a link carries for rows of `width`. */
export function throughLink(values: Float32Array, width: number): Float32Array {
  return dequantiseRows(quantiseRows(values, values.length / width, width));
}
