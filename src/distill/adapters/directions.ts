/**
 * Untrained steering vectors (METHOD.md §6): the difference of mean activations between harmful and
 * harmless prompts, at the positions after the instruction, and the choice of the layer to add it in.
 */

/** Sums of activations, so that prompts can come in batches; [layers · dim] in float64. */
export class ActivationMean {
  private readonly sum: Float64Array;
  private count = 0;

  constructor(
    readonly layers: number,
    readonly dim: number,
  ) {
    this.sum = new Float64Array(layers * dim);
  }

  /** @param activations of one prompt at one position after every layer, [layers, dim] */
  add(activations: ArrayLike<number>): void {
    if (activations.length !== this.sum.length) {
      throw new RangeError(`${activations.length} activations; ${this.sum.length} were expected.`);
    }
    for (let i = 0; i < this.sum.length; i++) this.sum[i]! += activations[i]!;
    this.count++;
  }

  /** @throws RangeError before the first prompt */
  mean(): Float64Array {
    if (this.count === 0) throw new RangeError('There is no activation to take a mean of.');
    return this.sum.map((value) => value / this.count);
  }
}

/** mean(harmful) − mean(harmless) after each layer, [layers][dim]. */
export function differenceOfMeans(
  harmful: ActivationMean,
  harmless: ActivationMean,
): Float32Array[] {
  const { layers, dim } = harmful;
  if (layers !== harmless.layers || dim !== harmless.dim) {
    throw new RangeError('The two means have different shapes.');
  }
  const [a, b] = [harmful.mean(), harmless.mean()];
  return Array.from({ length: layers }, (_, layer) =>
    Float32Array.from({ length: dim }, (_, i) => a[layer * dim + i]! - b[layer * dim + i]!),
  );
}

/** A direction tried on validation prompts, added at one layer with one scale. */
export interface DirectionTrial {
  layer: number;
  scale: number;
  /** Mean refusal score (`refusalScore`) on harmful prompts with the direction added. */
  harmfulScore: number;
  /** Mean token-KL(base ‖ steered) on harmless prompts, nats. */
  harmlessKl: number;
}

/** Layers in the last fifth only change words; a direction that costs more than this breaks answers. */
const DEPTH = 0.8;
const MAX_KL = 0.1;

/** Whether a layer (from 0) is among those that a direction may stand behind. */
export function inFirstLayers(layer: number, layers: number): boolean {
  return layer < DEPTH * layers;
}

/**
 * The trial that refuses harmful prompts most, among layers in the first 80 % of the depth and with
 * a KL on harmless prompts of at most `maxKl`; null where none qualifies. Ties go to the earlier one.
 */
export function chooseDirection(
  trials: readonly DirectionTrial[],
  layers: number,
  maxKl = MAX_KL,
): DirectionTrial | null {
  let best: DirectionTrial | null = null;
  for (const trial of trials) {
    if (!inFirstLayers(trial.layer, layers) || !(trial.harmlessKl <= maxKl)) continue;
    if (!best || trial.harmfulScore > best.harmfulScore) best = trial;
  }
  return best;
}
