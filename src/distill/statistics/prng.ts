/**
 * Seeded randomness of the method. Everything random in a run is a function of the recipe's seed
 * and of what it is for, never of the order in which things happen.
 */

/** A 32-bit hash of whole numbers and strings (FNV-1a over words, murmur3's finaliser). */
export function hash32(...parts: readonly (number | string)[]): number {
  let h = 0x811c9dc5;
  const mix = (word: number) => {
    h = Math.imul(h ^ word, 0x01000193);
    h ^= h >>> 15;
    h = Math.imul(h, 0x85ebca6b);
    h ^= h >>> 13;
  };
  for (const part of parts) {
    if (typeof part === 'number') {
      mix(part | 0);
      mix(Math.floor(part / 4294967296) | 0);
    } else {
      for (let i = 0; i < part.length; i++) mix(part.charCodeAt(i));
      mix(~part.length);
    }
  }
  h = Math.imul(h ^ (h >>> 16), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** sfc32 seeded from a hash of `parts`. */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(...parts: readonly (number | string)[]) {
    this.a = hash32(1, ...parts);
    this.b = hash32(2, ...parts);
    this.c = hash32(3, ...parts);
    for (let i = 0; i < 12; i++) this.next();
  }

  /** Uniform in [0, 1), 32 bits. */
  next(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = ((this.c << 21) | (this.c >>> 11)) + t;
    this.c |= 0;
    return (t >>> 0) / 4294967296;
  }

  /** Uniform in {0, …, count − 1}. */
  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  /** {0, …, count − 1} in random order (Fisher-Yates). */
  permutation(count: number): Uint32Array {
    const order = Uint32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const kept = order[i]!;
      order[i] = order[j]!;
      order[j] = kept;
    }
    return order;
  }
}
