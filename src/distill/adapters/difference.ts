/**
 * Steering without training (METHOD.md §6), in an adapter's layout: differences of mean activations
 * behind the last token of harmful and of other training prompts, behind the layers that are named,
 * or behind the one where they make the student refuse.
 */
import { adapterLayout } from '../../engine/trainable/shape';
import type { Tokens } from '../../engine/types';
import { adapterShape, scoreWith, type Adaptation } from './adaptation';
import type { SteeringAdapter } from './adapter-spec';
import { refusalOpenings } from '../evaluation/calibration';
import type { ChatTokenizer } from '../data/chat';
import type { Domain } from '../data/dataset';
import {
  ActivationMean,
  chooseDirection,
  differenceOfMeans,
  inFirstLayers,
  type DirectionTrial,
} from './directions';
import type { StudentEngine } from '../engine-port';
import { hash32, Random } from '../statistics/prng';
import { refusalScores } from '../evaluation/refusal-scores';
import { conditionedDistances } from '../evaluation/token-distance';
import type { PromptItem, Recipe } from '../types';

/** Prompts of each side; more move the means little. */
const PROMPTS = 128;
/** Other prompts of each side, which choose among directions; at most a fifth of a side. */
const VALIDATION = 32;
const CHUNK = 32;
/** A direction is tried with these multiples of the recipe's scale. */
const FACTORS = [0.25, 0.5, 1, 2];

export interface DifferenceDeps {
  engine: StudentEngine;
  chat: ChatTokenizer;
  domain: Pick<Domain, 'refusals'>;
}

type Steering = Extract<Adaptation, { kind: 'adapter' }>;

/** Training prompts of one side, as tokens. */
interface Side {
  means: Tokens[];
  validation: { id: string; prompt: Tokens }[];
}

/**
 * The vectors of an adapter that is not trained.
 * @throws RangeError without harmful or without other prompts, without activations, or where no
 *   direction can be used; the signal's reason when aborted
 */
export async function untrainedSteering(
  adapter: SteeringAdapter,
  items: readonly PromptItem[],
  { seed, maxNewTokens }: Pick<Recipe, 'seed' | 'maxNewTokens'>,
  deps: DifferenceDeps,
  signal?: AbortSignal,
): Promise<Steering> {
  const { config } = deps.engine;
  const chosen = adapter.source === 'refusal';
  const [harmful, others] = [true, false].map((side) =>
    sideOf(items, side, seed, deps.chat, chosen ? VALIDATION : 0),
  );
  const directions = await meanDifferences(harmful!, others!, deps.engine, signal);
  const shape = adapterShape(adapter, config)!;
  const { slices, length } = adapterLayout(shape, config);
  const placed = (scaleOf: (layer: number) => number): Steering => {
    const values = new Float32Array(length);
    for (const { layer, offset } of slices) {
      const scale = scaleOf(layer);
      values.set(
        directions[layer]!.map((value) => scale * value),
        offset,
      );
    }
    return { kind: 'adapter', shape, values };
  };
  if (!chosen) return placed(() => adapter.scale);
  const tried: DirectionTrial[] = [];
  const trial = await trialsOf(harmful!, others!, { seed, maxNewTokens }, deps, signal);
  for (let layer = 0; inFirstLayers(layer, config.layers); layer++) {
    for (const factor of FACTORS) {
      const scale = factor * adapter.scale;
      const at = (l: number) => (l === layer ? scale : 0);
      tried.push({ layer, scale, ...(await trial(placed(at))) });
    }
  }
  const best = chooseDirection(tried, config.layers);
  if (!best) {
    throw new RangeError(
      `None of ${tried.length} directions leaves harmless answers as they are. Try a smaller scale.`,
    );
  }
  return placed((layer) => (layer === best.layer ? best.scale : 0));
}

/** How many of `items` a steering vector is made from, those included that choose its layer. */
export function promptsOfDifference(
  { source }: Pick<SteeringAdapter, 'source'>,
  items: readonly PromptItem[],
): number {
  const harmful = items.filter(({ label }) => label === 'harmful').length;
  return [harmful, items.length - harmful].reduce((sum, own) => {
    const kept = keptForValidation(own, source === 'refusal' ? VALIDATION : 0);
    return sum + Math.min(own, kept + PROMPTS);
  }, 0);
}

function keptForValidation(own: number, most: number): number {
  return Math.min(most, Math.floor(own / 5));
}

function sideOf(
  items: readonly PromptItem[],
  harmful: boolean,
  seed: number,
  chat: ChatTokenizer,
  validation: number,
): Side {
  const own = items.filter(({ label }) => (label === 'harmful') === harmful);
  const order = [...new Random('difference', seed, Number(harmful)).permutation(own.length)];
  const kept = keptForValidation(own.length, validation);
  if (validation > 0 && kept === 0) {
    throw new RangeError('A refusal direction needs at least five prompts of each kind.');
  }
  const encoded = (i: number) => ({
    id: own[i]!.id,
    prompt: chat.encodeChat({ user: own[i]!.prompt }),
  });
  return {
    means: order.slice(kept, kept + PROMPTS).map((i) => encoded(i).prompt),
    validation: order.slice(0, kept).map(encoded),
  };
}

/** mean(harmful) − mean(others) behind each layer, [layers][dim]. */
async function meanDifferences(
  harmful: Side,
  others: Side,
  engine: StudentEngine,
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  if (!engine.residuals) throw new RangeError('This engine does not hand out activations.');
  const { layers, dim } = engine.config;
  const means: ActivationMean[] = [];
  for (const { means: prompts } of [harmful, others]) {
    const mean = new ActivationMean(layers, dim);
    for (let start = 0; start < prompts.length; start += CHUNK) {
      signal?.throwIfAborted();
      const chunk = prompts.slice(start, start + CHUNK);
      for (const activations of await engine.residuals(chunk, signal)) mean.add(activations);
    }
    means.push(mean);
  }
  return differenceOfMeans(means[0]!, means[1]!);
}

/** What a steered student does to the validation prompts. */
async function trialsOf(
  harmful: Side,
  others: Side,
  { seed, maxNewTokens }: Pick<Recipe, 'seed' | 'maxNewTokens'>,
  { engine, chat, domain }: DifferenceDeps,
  signal?: AbortSignal,
): Promise<(adaptation: Steering) => Promise<Pick<DirectionTrial, 'harmfulScore' | 'harmlessKl'>>> {
  const answers = await engine.generate(
    others.validation.map(({ id, prompt }) => ({ prompt, stream: hash32('difference', id) })),
    { temperature: 1, seed, maxNewTokens, stopTokens: chat.stopTokens, signal },
  );
  const asked = others.validation.map(({ prompt }) => prompt);
  const answered = asked.map((prompt, i) => ({ prompt, answer: answers[i]!.tokens }));
  const base = answers.map(({ logProbs }) => logProbs);
  const openings = refusalOpenings(domain.refusals.map((text) => chat.encodeAnswer(text)));
  const targets = harmful.validation.map(({ prompt }) => prompt);
  return async (adaptation) => {
    signal?.throwIfAborted();
    const scores = await refusalScores(engine, targets, openings, adaptation, signal);
    const { kl } = await conditionedDistances(engine, asked, answered, base, {
      adaptation: scoreWith(adaptation),
      signal,
    });
    return { harmfulScore: mean(scores), harmlessKl: mean(kl) };
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
