import { describe, expect, it } from 'vitest';
import { unroll } from './linear.unroll';

describe('unroll', () => {
  it('repeats nested lines with every combination of the counters', () => {
    const source = '//#repeat r ROWS\n//#repeat c 2\na$r_$c = b{4*$r+$c};\n//#done\n//#done';
    expect(unroll(source, { ROWS: 2 })).toBe('a0_0 = b0;\na0_1 = b1;\na1_0 = b4;\na1_1 = b5;');
  });

  it('leaves other text alone', () => {
    const source = 'if (x) {\n  y = vec4(1);\n}';
    expect(unroll(source, {})).toBe(source);
  });

  it('refuses a count without a value, and a repeat that does not end or begin', () => {
    expect(() => unroll('//#repeat r ROWS\n//#done', {})).toThrow(RangeError);
    expect(() => unroll('//#repeat r 2', {})).toThrow(RangeError);
    expect(() => unroll('//#done', {})).toThrow(RangeError);
  });
});
