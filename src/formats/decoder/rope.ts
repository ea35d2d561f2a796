/** Rotary frequencies from config.json, for graphs that compute them instead of storing them. */
import type { DecoderConfig } from './config';
import { UnsupportedModelError } from '../onnx/errors';

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
      `config.json scales RoPE as ${JSON.stringify(type)}; only "llama3" can be computed.`,
    );
  }
  const number = (name: string): number => {
    const value = ropeScaling.get(name);
    if (typeof value === 'number' && value > 0) return value;
    throw new UnsupportedModelError(`config.json has a RoPE ${name} ${JSON.stringify(value)}.`);
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
