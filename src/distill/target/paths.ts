/**
 * From prompts, guard scores and base samples to examples (METHOD.md §3.1, §4.1):
 *
 *   L = E_x { s·Σ_t D(p_t, q_t) on a sampled path + (1 − s)·Σ_t D(p_t, q_t) on a refusal path }
 *
 * What their positions are to say, objectives/rows.ts decides.
 */
import { KnownError } from '../../formats/errors';
import { bare, exampleLossRows, exampleRows } from '../../engine/pack';
import type { Example, Tokens } from '../../engine/types';
import { virtualTokens } from '../adapters/adaptation';
import type { ChatTokenizer } from '../data/chat';
import type { PreparedData } from '../train/prepare';
import { Random } from '../statistics/prng';
import { RefusalTrie, teacherSafety } from './target';
import type { PromptItem, Recipe } from '../types';

/**
 * A path lighter than this costs as much as any other and says next to nothing. It is kept with
 * probability weight / LIGHT_WEIGHT, drawn by (seed, id), and then weighs LIGHT_WEIGHT: over
 * examples the loss is the same in expectation, and a guard that is nearly certain costs one path
 * an example instead of two.
 */
export const LIGHT_WEIGHT = 0.02;

export interface PlannedPath {
  kind: 'sample' | 'refusal' | 'student';
  tokens: Tokens;
  /** Its share of the example's loss: s or 1 − s; LIGHT_WEIGHT for a light path that was kept. */
  weight: number;
  /** Its tokens are not drawn yet: as many as there can be stand in for them. */
  pending?: true;
}

/** An example before its targets are known. */
export interface PlannedExample extends Example<PlannedPath> {
  /** Index in the training set. */
  index: number;
  /** The teacher's s, strictness and clip applied. */
  safe: number;
}

export interface Plan {
  trie: RefusalTrie;
  examples: PlannedExample[];
  /** Packed positions and loss positions of the run's largest batch, and of its largest example. */
  maxRows: number;
  maxLossRows: number;
  maxExampleRows: number;
  /**
   * Draws the answers that the examples at `positions` still lack, and those of `ahead` with them;
   * absent where none lacks any.
   */
  draw?: (
    positions: readonly number[],
    ahead: () => readonly number[],
    signal?: AbortSignal,
  ) => Promise<void>;
}

/** A prompt that does not fit the student's context. */
export class PromptTooLongError extends KnownError {
  override readonly name = 'PromptTooLongError';
  readonly errorCode = 'bad-input';
}

export function refusalTrie(
  chat: ChatTokenizer,
  refusals: readonly string[],
  maxNewTokens: number,
): RefusalTrie {
  return new RefusalTrie(refusals.map((text) => chat.encodeAnswer(text).slice(0, maxNewTokens)));
}

/**
 * Plans the paths of the items at `indices`. The wording of an example's refusal path is drawn once
 * by (seed, id), so that its teacher pass can be cached: over examples all wordings are as likely.
 * Answers that are not drawn yet (null) become pending paths.
 * @throws PromptTooLongError
 */
export function plan(
  items: readonly PromptItem[],
  indices: readonly number[],
  prepared: Pick<PreparedData, 'safe'> & { samples: readonly (number[] | null)[] },
  recipe: Recipe,
  chat: ChatTokenizer,
  refusals: readonly string[],
  maxPositions: number,
): Plan {
  const longest = new Array<number>(recipe.maxNewTokens).fill(0);
  const trie = refusalTrie(chat, refusals, recipe.maxNewTokens);
  const examples = indices.map((index): PlannedExample => {
    const item = items[index]!;
    const safe = teacherSafety(prepared.safe[index]!, recipe);
    const wording = new Random('wording', recipe.seed, item.id).below(trie.strings.length);
    const paths: PlannedPath[] = [
      { kind: 'sample', weight: safe, ...answerOf(prepared.samples[index] ?? null, longest) },
      { kind: 'refusal', tokens: trie.strings[wording]!, weight: 1 - safe },
    ];
    const prompt = chat.encodeChat({ user: item.prompt });
    const kept = thinned(paths, recipe.seed, item.id);
    checkLength(item.id, prompt, kept, recipe, maxPositions);
    return { index, prompt, safe, paths: kept };
  });
  return { trie, examples, ...batchSizes(examples, recipe) };
}

const answerOf = (
  tokens: Tokens | null,
  longest: Tokens,
): Pick<PlannedPath, 'tokens' | 'pending'> =>
  tokens === null ? { tokens: longest, pending: true } : { tokens };

/** @throws PromptTooLongError where a prompt and its longest path do not fit the student. */
export function checkLength(
  id: string,
  prompt: Tokens,
  paths: readonly PlannedPath[],
  recipe: Pick<Recipe, 'adapter'>,
  maxPositions: number,
): void {
  const longest = Math.max(0, ...paths.map(({ tokens }) => tokens.length));
  if (virtualTokens(recipe.adapter) + prompt.length + longest > maxPositions) {
    throw new PromptTooLongError(`Prompt ${id} is too long for this student.`);
  }
}

/**
 * What the batches of this run need at most: their order is known.
 * @param packedAs what an example packs as, where it is not its prompt and paths as they are
 */
export function batchSizes(
  examples: readonly PlannedExample[],
  { steps, batchSize, seed }: Recipe,
  packedAs: (example: Example) => Example = (example) => example,
): Pick<Plan, 'maxRows' | 'maxLossRows' | 'maxExampleRows'> {
  const inputs = examples.map((example) => packedAs(bare(example)));
  const rows = inputs.map(exampleRows);
  const losses = inputs.map(exampleLossRows);
  const order = new EpochOrder(examples.length, batchSize, seed);
  let [maxRows, maxLossRows] = [0, 0];
  for (let step = 0; step < steps; step++) {
    const batch = order.batch(step);
    const sum = (sizes: readonly number[]) => batch.reduce((all, index) => all + sizes[index]!, 0);
    maxRows = Math.max(maxRows, sum(rows));
    maxLossRows = Math.max(maxLossRows, sum(losses));
  }
  return { maxRows, maxLossRows, maxExampleRows: Math.max(0, ...rows) };
}

/** The paths that are kept of an example's, light ones by chance and then heavier. */
export function thinned(paths: readonly PlannedPath[], seed: number, id: string): PlannedPath[] {
  return paths.filter((path) => keep(path, seed, id)).map(withFloor);
}

function keep({ kind, weight }: PlannedPath, seed: number, id: string): boolean {
  return weight >= LIGHT_WEIGHT || new Random(kind, seed, id).next() < weight / LIGHT_WEIGHT;
}

function withFloor(path: PlannedPath): PlannedPath {
  return { ...path, weight: Math.max(path.weight, LIGHT_WEIGHT) };
}

/** Which examples `step` (from 0) trains on: seeded shuffles, one an epoch, end to end. */
export class EpochOrder {
  private epoch = -1;
  private order: Uint32Array = new Uint32Array(0);

  constructor(
    private readonly count: number,
    private readonly batchSize: number,
    private readonly seed: number,
  ) {}

  batch(step: number): number[] {
    return Array.from({ length: this.batchSize }, (_, j) => {
      const position = step * this.batchSize + j;
      const epoch = Math.floor(position / this.count);
      if (epoch !== this.epoch) {
        this.order = new Random('epoch', this.seed, epoch).permutation(this.count);
        this.epoch = epoch;
      }
      return this.order[position % this.count]!;
    });
  }
}
