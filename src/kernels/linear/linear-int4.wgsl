// Linear layer with int4 weights, blocks of 32 inputs (ARCHITECTURE.md "Only dX").
//   forward:   y[m, n]  = Σ_k x[m, k] · w[n, k]  (+ bias[n]) (+ residual[m, n])
//   backward: dx[m, k] (+)= Σ_n dy[m, n] · w[n, k]
//   w[n, k] = (nibble[n, k] − zeroPoint[n, k / 32]) · scale[n, k / 32]
// Both are y[rows, width] = x[rows, depth] · B[depth, width]: depth = K, width = N forward and
// depth = N, width = K backward. `data` holds word [n, k / 8], nibble k % 8.
//
// Operands in registers, for software adapters and few rows; on graphics hardware linear.tile.ts compiles
// linear.shared.wgsl with linear-int4.fill.wgsl instead. Reference: linear.reference.ts.
//
// A software adapter shifts vectors one lane at a time, so nibbles are never shifted: `word & mask`
// is 16^i times nibble i, and the factor 16^-i goes to x (forward) or to the sum (backward);
// both are exact. Flipping the top bit makes nibble 7 a signed number, 8 less than it was.
//#if PAIRS
alias Words = vec2<u32>;
//#else
alias Words = u32;
//#end
@group(0) @binding(4) var<storage, read> data: array<Words>;
@group(0) @binding(5) var<storage, read> scales: array<f32>;
//#if ZERO_POINTS
@group(0) @binding(ZERO_POINTS_BINDING) var<storage, read> zeroPoints: array<u32>;

// Block `index` of feature `feature`: two zero points a byte, the even block in the low nibble.
fn zeroPoint(feature: u32, index: u32, bytesPerFeature: u32) -> f32 {
  let byte = feature * bytesPerFeature + (index >> 1u);
  return f32((zeroPoints[byte >> 2u] >> ((byte & 3u) * 8u + (index & 1u) * 4u)) & 15u);
}
//#end

const TOP_BIT = 0x80000000u;
const MASK0 = 0xfu;
const MASK1 = 0xf0u;
const MASK2 = 0xf00u;
const MASK3 = 0xf000u;
const MASK4 = 0xf0000u;
const MASK5 = 0xf00000u;
const MASK6 = 0xf000000u;
const MASK7 = 0xf0000000u;
const UNIT0 = 1.0;
const UNIT1 = 16.0;
const UNIT2 = 256.0;
const UNIT3 = 4096.0;
const UNIT4 = 65536.0;
const UNIT5 = 1048576.0;
const UNIT6 = 16777216.0;
const UNIT7 = 268435456.0;
// Nibbles 0 … 3 and 4 … 7 of a word.
const MASKS0 = vec4(MASK0, MASK1, MASK2, MASK3);
const MASKS1 = vec4(MASK4, MASK5, MASK6, MASK7);
const UNITS0 = vec4<f32>(UNIT0, UNIT1, UNIT2, UNIT3);
const UNITS1 = vec4<f32>(UNIT4, UNIT5, UNIT6, UNIT7);
const FLIPPED0 = vec4<f32>(0.0);
const FLIPPED1 = vec4<f32>(0.0, 0.0, 0.0, 8.0 * UNIT7);

//#include start

//#if BACKWARD
  // A lane owns WORDS neighbouring words, which lie in one block.
  let blocks = width >> 5u;
  let words = width / (8u * WORDS);
  let own = workgroup.x * LANES + lane;
  let safe = min(own, words - 1u);
  let block = (safe * WORDS) >> 2u;
  let whole = depth & ~(UNROLL - 1u);
  for (var k = 0u; k < whole; k += UNROLL) {
//#repeat h STEPS
    let chunk$h = k + 4u * ($hu ^ quadLane);
//#repeat j 4
    let n{4*$h+$j} = chunk$h + $ju;
    let word{4*$h+$j} = data[n{4*$h+$j} * words + safe];
//#done
    // The scales go to x, as many products as with the weights.
    let factor$h = vec4(
//#repeat j 4
      scales[n{4*$h+$j} * blocks + block],
//#done
    );
//#if ZERO_POINTS
    let zero$h = vec4(
//#repeat j 4
      zeroPoint(n{4*$h+$j}, block, (blocks + 1u) >> 1u),
//#done
    );
//#else
    const zero$h = vec4<f32>(8.0);
//#end
//#repeat v WORDS
    let bits$h_$v = vec4(
//#repeat j 4
//#if PAIRS
      word{4*$h+$j}[$v],
//#else
      word{4*$h+$j},
//#end
//#done
    ) ^ vec4(TOP_BIT);
//#repeat i 7
    let w$h_{8*$v+$i} = vec4(
//#repeat j 4
      f32(i32(bits$h_$v[$j] & MASK$i)) - zero$h[$j] * UNIT$i,
//#done
    );
//#done
    let w$h_{8*$v+7} = vec4(
//#repeat j 4
      f32(i32(bits$h_$v[$j] & MASK7)) - (zero$h[$j] - 8.0) * UNIT7,
//#done
    );
//#done
//#done
//#repeat r TILE_ROWS
//#include inputs
//#include products
//#done
  }
//#if TAIL
  for (var k = whole; k < depth; k++) {
    let scale = scales[k * blocks + block];
//#if ZERO_POINTS
    let zero = zeroPoint(k, block, (blocks + 1u) >> 1u);
//#else
    const zero = 8.0;
//#end
    let word = data[k * words + safe];
//#repeat v WORDS
//#if PAIRS
    let bits$v = word[$v] ^ TOP_BIT;
//#else
    let bits$v = word ^ TOP_BIT;
//#end
//#repeat i 7
    let w{8*$v+$i} = (f32(i32(bits$v & MASK$i)) - zero * UNIT$i) * scale;
//#done
    let w{8*$v+7} = (f32(i32(bits$v & MASK7)) - (zero - 8.0) * UNIT7) * scale;
//#done
//#repeat r TILE_ROWS
    let a$r = input(start$r + k);
//#repeat g GROUPS
    acc$r_$g += a$r * vec4(w{4*$g}, w{4*$g+1}, w{4*$g+2}, w{4*$g+3});
//#done
//#done
  }
//#end
//#repeat r TILE_ROWS
//#repeat v WORDS
//#repeat e 2
  acc$r_{2*$v+$e} *= 1.0 / UNITS$e;
//#done
//#done
//#done
//#repeat g GROUPS
  let column$g = own * COLUMNS + 4u * $gu;
//#done
//#else
  let words = depth >> 3u;
  let blocks = depth >> 5u;
//#repeat g GROUPS
  let column$g = (workgroup.x * (LANES * GROUPS) + $gu * LANES + lane) * 4u;
//#repeat e 4
  let feature{4*$g+$e} = min(column$g + $eu, width - 1u);
//#done
//#done
  // Lane q takes half-words h ^ q, as linear.inputs.wgsl does: of two words, the second first, and of
  // a word, the high half first.
//#if QUADS
  let odd = (quadLane & 1u) == 1u;
  let second = quadLane >> 1u;
  let masks0 = select(MASKS0, MASKS1, odd);
  let masks1 = select(MASKS1, MASKS0, odd);
  let units0 = select(UNITS0, UNITS1, odd);
  let units1 = select(UNITS1, UNITS0, odd);
  let flipped0 = select(FLIPPED0, FLIPPED1, odd);
  let flipped1 = select(FLIPPED1, FLIPPED0, odd);
//#else
  const second = 0u;
//#repeat e 2
  const masks$e = MASKS$e;
  const units$e = UNITS$e;
  const flipped$e = FLIPPED$e;
//#done
//#end
//#if !ZERO_POINTS
//#repeat e 2
  let zeros$e = 8.0 * units$e - flipped$e;
//#done
//#end
  let factor0 = 1.0 / units0;
  let factor1 = 1.0 / units1;
  let factor2 = factor0;
  let factor3 = factor1;
//#repeat c COLUMNS
  let pairs$c = feature$c * (words >> 1u);
  let scales$c = feature$c * blocks;
//#done
  for (var k = 0u; k < depth; k += UNROLL) {
    let block = k >> 5u;
//#repeat c COLUMNS
    let scale$c = scales[scales$c + block];
//#if ZERO_POINTS
    let zero$c = zeroPoint(feature$c, block, (blocks + 1u) >> 1u);
//#repeat e 2
    let zeros$e_$c = zero$c * units$e - flipped$e;
//#done
//#else
//#repeat e 2
    let zeros$e_$c = zeros$e;
//#done
//#end
    let pair$c = data[pairs$c + (k >> 4u)] ^ vec2(TOP_BIT);
    let bits$c_0 = select(pair$c.x, pair$c.y, second == 1u);
    let bits$c_1 = select(pair$c.y, pair$c.x, second == 1u);
//#repeat p 2
//#repeat e 2
    let w{2*$p+$e}_$c = vec4(
//#repeat j 4
      (f32(i32(bits$c_$p & masks$e[$j])) - zeros$e_$c[$j]) * scale$c,
//#done
    );
//#done
//#done
//#done
//#repeat r TILE_ROWS
//#include inputs
//#include products
//#done
  }
//#end

//#include outputs
}
