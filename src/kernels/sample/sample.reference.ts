/** The sampler's random numbers and its choice of token, as sample.wgsl makes them. */

/** The finaliser of MurmurHash3. */
function mixWord(word: number): number {
  let h = word >>> 0;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  return h >>> 0;
}

/** Key of one token's noise. */
export function sampleKey(seed: number, stream: number, counter: number): number {
  return mixWord(mixWord(mixWord(seed) ^ stream) ^ counter);
}

/** Uniform in (0, 1), the same f32 as on the GPU. */
export function sampleUniform(key: number, index: number): number {
  const h = mixWord(Math.imul(index, 0x9e3779b9) + key);
  const low = ((h & 255) + 0.5) * 2 ** -32;
  return Math.min(Math.fround((h >>> 8) * 2 ** -24 + low), Math.fround(0.99999994));
}

/** Standard Gumbel noise; the GPU's differs by the rounding of two logarithms. */
export function sampleGumbel(key: number, index: number): number {
  return -Math.log(-Math.log1p(-sampleUniform(key, index)));
}

/** Token of one row of logits. Two scores that round alike may be chosen differently on the GPU. */
export function sampleReference(
  logits: ArrayLike<number>,
  temperature: number,
  key: number,
): number {
  let best = 0;
  let bestScore = -Infinity;
  for (let v = 0; v < logits.length; v++) {
    const score = logits[v]! + (temperature === 0 ? 0 : temperature * sampleGumbel(key, v));
    if (score > bestScore) [best, bestScore] = [v, score];
  }
  return best;
}
