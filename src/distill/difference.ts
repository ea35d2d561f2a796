/**
 * Steering without training (METHOD.md §6): the difference of mean activations behind the last token
 * of harmful and of other training prompts, times a scale, in an adapter's layout.
 */
import { adapterLayout } from '../engine/adapter-shape';
import { adapterShape, type Adaptation } from './adaptation';
import type { SteeringAdapter } from './adapter-spec';
import type { ChatTokenizer } from './chat';
import { ActivationMean, differenceOfMeans } from './directions';
import type { StudentEngine } from './engine-port';
import { Random } from './prng';
import type { PromptItem } from './types';

/** Prompts of each side; more move the means little. */
const PROMPTS = 128;
const CHUNK = 32;

/**
 * @throws RangeError without harmful or without other prompts, or without activations; the signal's reason when aborted
 */
export async function steeringByDifference(
  adapter: SteeringAdapter,
  items: readonly PromptItem[],
  seed: number,
  { engine, chat }: { engine: StudentEngine; chat: ChatTokenizer },
  signal?: AbortSignal,
): Promise<Exclude<Adaptation, null>> {
  const { config } = engine;
  if (!engine.residuals) throw new RangeError('This engine does not hand out activations.');
  const means = [true, false].map((harmful) => {
    const own = items.filter(({ label }) => (label === 'harmful') === harmful);
    const order = new Random('difference', seed, Number(harmful)).permutation(own.length);
    const prompts = [...order.subarray(0, PROMPTS)].map((i) =>
      chat.encodeChat({ user: own[i]!.prompt }),
    );
    return { prompts, mean: new ActivationMean(config.layers, config.dim) };
  });
  for (const { prompts, mean } of means) {
    for (let start = 0; start < prompts.length; start += CHUNK) {
      signal?.throwIfAborted();
      const chunk = prompts.slice(start, start + CHUNK);
      for (const activations of await engine.residuals(chunk, signal)) mean.add(activations);
    }
  }
  const directions = differenceOfMeans(means[0]!.mean, means[1]!.mean);
  const shape = adapterShape(adapter, config)!;
  const { slices, length } = adapterLayout(shape, config);
  const values = new Float32Array(length);
  for (const { layer, offset } of slices) {
    values.set(
      directions[layer]!.map((value) => adapter.scale * value),
      offset,
    );
  }
  return { kind: 'adapter', shape, values };
}
