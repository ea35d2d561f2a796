// Linear layer with int4 weights, blocks of 32 inputs, for a few rows (decoding):
//   y[m, n] = Σ_k x[m, k] · w[n, k]  (+ bias[n]) (+ residual[m, n])
//   w[n, k] = (nibble[n, k] − zeroPoint[n, k / 32]) · scale[n, k / 32]
// x [rows, K], y [rows, N], data u32 [N, K / 8] as in linear-int4.wgsl.
//
// With few rows the weights are what is read and unpacked, so a block is unpacked in as few steps as
// can be: nibbles are masked, not shifted, and the factor 16^-i goes to x, once for all COLUMNS
// outputs; flipping the top bit makes nibble 7 a signed number, 8 less than it was; zero points and
// that 8 go by sums of x:
//   Σ nibble · x − zero Σ x = Σ masked · x · 16^-i + 8 Σ x[nibble 7] − zero Σ x
// A lane owns COLUMNS outputs of ROWS rows. SPLIT: the lanes of a workgroup own the same outputs and
// share the blocks of the inputs, so that neighbouring lanes read neighbouring words, and add up at
// the end; without it each lane walks over all blocks of outputs of its own.
//#if SPLIT
//#include lanes
//#end
struct Span { start: u32, rows: u32 }
// y may be columns of wider rows: a row of y starts at row * yStride + yOffset.
struct Shape { depth: u32, width: u32, yStride: u32, yOffset: u32 }

@group(0) @binding(0) var<uniform> span: Span;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> scales: array<f32>;
//#if ZERO_POINTS
@group(0) @binding(ZERO_POINTS_BINDING) var<storage, read> zeroPoints: array<u32>;

fn zeroPoint(feature: u32, index: u32, bytesPerFeature: u32) -> f32 {
  let byte = feature * bytesPerFeature + (index >> 1u);
  return f32((zeroPoints[byte >> 2u] >> ((byte & 3u) * 8u + (index & 1u) * 4u)) & 15u);
}
//#end
//#if BIAS
@group(0) @binding(BIAS_BINDING) var<storage, read> bias: array<f32>;
//#end
//#if RESIDUAL
@group(0) @binding(RESIDUAL_BINDING) var<storage, read> residual: array<f32>;
//#end

const TOP_BIT = 0x80000000u;
const LOW = vec4(0xfu, 0xf0u, 0xf00u, 0xf000u);
const HIGH = vec4(0xf0000u, 0xf00000u, 0xf000000u, 0xf0000000u);
const LOW_PARTS = vec4<f32>(1.0, 1.0 / 16.0, 1.0 / 256.0, 1.0 / 4096.0);
const HIGH_PARTS = LOW_PARTS / 65536.0;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let blocks = shape.depth >> 5u;
  let firstRow = workgroup.y * ROWS;
  let lastRow = span.rows - 1u;
//#if SPLIT
  let firstColumn = workgroup.x * COLUMNS;
  let firstBlock = lane;
  const STEP = LANES;
//#else
  let firstColumn = (workgroup.x * LANES + lane) * COLUMNS;
  const firstBlock = 0u;
  const STEP = 1u;
//#end
//#repeat r ROWS
  let x$r = (span.start + min(firstRow + $ru, lastRow)) * blocks * 8u;
//#repeat c COLUMNS
  var acc$r_$c = 0.0;
//#done
//#done
//#repeat c COLUMNS
  let feature$c = min(firstColumn + $cu, shape.width - 1u);
//#done

  for (var b = firstBlock; b < blocks; b += STEP) {
//#repeat r ROWS
//#repeat w 4
    let low$r_$w = x[x$r + b * 8u + {2*$w}u];
    let high$r_$w = x[x$r + b * 8u + {2*$w+1}u];
    let a$r_$w = low$r_$w * LOW_PARTS;
    let b$r_$w = high$r_$w * HIGH_PARTS;
//#done
    let highs$r = (high$r_0 + high$r_1) + (high$r_2 + high$r_3);
    let sum$r = dot((low$r_0 + low$r_1) + (low$r_2 + low$r_3) + highs$r, vec4(1.0));
//#if ZERO_POINTS
    let flipped$r = 8.0 * highs$r.w;
//#else
    let offset$r = 8.0 * (highs$r.w - sum$r);
//#end
//#done
//#repeat c COLUMNS
    let at$c = feature$c * blocks + b;
    let words$c = data[at$c] ^ vec4(TOP_BIT);
    let scale$c = scales[at$c];
//#if ZERO_POINTS
    let zero$c = zeroPoint(feature$c, b, (blocks + 1u) >> 1u);
//#end
//#repeat w 4
    let u$c_$w = vec4<f32>(vec4<i32>(vec4(words$c[$w]) & LOW));
    let v$c_$w = vec4<f32>(vec4<i32>(vec4(words$c[$w]) & HIGH));
//#done
//#repeat r ROWS
//#if ZERO_POINTS
    let offset$r_$c = flipped$r - zero$c * sum$r;
//#else
    let offset$r_$c = offset$r;
//#end
    acc$r_$c += scale$c * (offset$r_$c
//#repeat w 4
      + dot(a$r_$w, u$c_$w) + dot(b$r_$w, v$c_$w)
//#done
    );
//#done
//#done
  }

//#repeat r ROWS
//#repeat g GROUPS
//#if SPLIT
  let sums$r_$g = lanes_sum(vec4(acc$r_{4*$g}, acc$r_{4*$g+1}, acc$r_{4*$g+2}, acc$r_{4*$g+3}), lane);
//#else
  let sums$r_$g = vec4(acc$r_{4*$g}, acc$r_{4*$g+1}, acc$r_{4*$g+2}, acc$r_{4*$g+3});
//#end
//#done
//#done
//#if SPLIT
  if (lane > 0u) {
    return;
  }
//#end
//#repeat r ROWS
  if (firstRow + $ru < span.rows) {
    let out = (span.start + firstRow + $ru) * shape.yStride + shape.yOffset;
//#repeat g GROUPS
    for (var e = 0u; e < 4u; e++) {
      let column = firstColumn + {4*$g}u + e;
      if (column < shape.width) {
        var sum = sums$r_$g[e];
//#if BIAS
        sum += bias[column];
//#end
//#if RESIDUAL
        sum += residual[out + column];
//#end
        y[out + column] = sum;
      }
    }
//#done
  }
//#done
}
