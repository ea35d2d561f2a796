/** Counter-based noise for seeded sampling: a hash of (seed, step, index), no state to carry. */
function mix(value: number): number {
  let x = value >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** One standard Gumbel variate. */
export function gumbel(seed: number, step: number, index: number): number {
  const bits = mix(mix(mix(seed ^ 0x9e3779b9) ^ step) ^ index);
  const uniform = (bits + 0.5) / 4294967296;
  return -Math.log(-Math.log(uniform));
}
