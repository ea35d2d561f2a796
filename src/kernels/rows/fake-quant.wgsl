// Fake quantisation of rows to symmetric int4 with one f16 scale a row; bit for bit what
// src/formats/share/prompt-quant.ts does:
//   scale = f16(absmax * f32(1/7)), to nearest, ties to even; past f16 65504, where TypeScript throws
//   y = scale * (x / scale rounded to -7..7, halves to even)
// x, y [rows, DIM]. The gradient is passed straight through, so there is no backward kernel.
// One workgroup a row. No division and no f16 conversion, because WGSL lets both round as they like:
// |x| is compared with (j + 1/2) scale, which has 15 significant bits and is exact.

struct Span { start: u32, rows: u32, unused_a: u32, unused_b: u32 }

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> span: Span;

const SEVENTH = bitcast<f32>(0x3e124925u);

// The f16 nearest to a non-negative f32, ties to even, at most 65504, as f32.
fn round_to_f16(value: f32) -> f32 {
  let bits = bitcast<u32>(value);
  if ((bits >> 23u) < 113u) {
    // A multiple of 2^-24: below 2^-14 at most 1024 of them, exact in f32.
    let units = value * 16777216.0;
    let whole = floor(units);
    let rest = units - whole;
    let up = rest > 0.5 || (rest == 0.5 && (u32(whole) & 1u) == 1u);
    return select(whole, whole + 1.0, up) * 5.9604644775390625e-8;
  }
  let rounded = (bits + 0xfffu + ((bits >> 13u) & 1u)) & 0xffffe000u;
  return min(bitcast<f32>(rounded), 65504.0);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let r = group.x + group.y * groups.x;
  if (r >= span.rows) {
    return;
  }
  let base = (span.start + r) * DIM;
  var largest = 0.0;
  for (var i = lane; i < DIM; i += LANES) {
    largest = max(largest, abs(x[base + i]));
  }
  let absmax = lanes_max(vec2<f32>(largest, 0.0), lane).x;
  let scale = round_to_f16(absmax * SEVENTH);
  for (var i = lane; i < DIM; i += LANES) {
    let value = x[base + i];
    let magnitude = abs(value);
    // Halves go to the even level: down from j + 1/2 for even j, up for odd.
    var level = 0.0;
    for (var j = 0u; j < 7u; j++) {
      let edge = (f32(j) + 0.5) * scale;
      level += select(0.0, 1.0, magnitude > edge || (magnitude == edge && (j & 1u) == 1u && scale > 0.0));
    }
    // A prompt has one zero, not two.
    y[base + i] = select(level, -level, value < 0.0 && level * scale > 0.0) * scale;
  }
}
