/** Rotary frequencies from config.json, for graphs that compute them instead of storing them. */
import { UnsupportedModelError } from './errors';
import { shown } from '../shown';
import type { DecoderConfig } from './config';

/**
 * cos and sin are made for no more positions than this, whatever config.json promises: a table of
 * 131,072 takes 32 MiB at a head of 128. Llama 3.2 promises as many; none is trained on them.
 */
export const MOST_COMPUTED_POSITIONS = 2 ** 17;

/**
 * Inverse frequencies [headDim / 2] by rope_theta, with the "llama3" scaling where it is set.
 * Source: Su et al. 2021; Llama 3.1 release notes. Throws {@link UnsupportedModelError} on others.
 */
export function ropeFrequencies({ headDim, ropeTheta, ropeScaling }: DecoderConfig): Float32Array {
  if (ropeTheta === undefined) {
    throw new UnsupportedModelError('config.json has no rope_theta, and the graph no frequencies.');
  }
  const plain = Float64Array.from(
    { length: headDim / 2 },
    (_, i) => ropeTheta ** ((-2 * i) / headDim),
  );
  if (ropeScaling === undefined) return Float32Array.from(plain);
  const type = ropeScaling.get('rope_type') ?? ropeScaling.get('type');
  if (type === 'default') return Float32Array.from(plain);
  if (type !== 'llama3') {
    throw new UnsupportedModelError(
      `config.json scales RoPE as ${shown(type)}; only "llama3" can be computed.`,
    );
  }
  const number = (name: string): number => {
    const value = ropeScaling.get(name);
    if (typeof value === 'number' && value > 0) return value;
    throw new UnsupportedModelError(`config.json has a RoPE ${name} ${shown(value)}.`);
  };
  const [factor, low, high] = ['factor', 'low_freq_factor', 'high_freq_factor'].map(number);
  const length = number('original_max_position_embeddings');
  return Float32Array.from(plain, (frequency) => {
    // Turns within the original context: many stay, few are stretched, between is a mix.
    const turns = (length * frequency) / (2 * Math.PI);
    const mix = Math.min(1, Math.max(0, (turns - low!) / (high! - low!)));
    return (1 - mix) * (frequency / factor!) + mix * frequency;
  });
}
