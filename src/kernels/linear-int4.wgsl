// Linear layer with int4 weights, blocks of 32 inputs (ARCHITECTURE.md "Only dX").
//   forward:   y[m, n]  = Σ_k x[m, k] · w[n, k]  (+ bias[n]) (+ residual[m, n])
//   backward: dx[m, k] (+)= Σ_n dy[m, n] · w[n, k]
//   w[n, k] = (nibble[n, k] − zeroPoint[n, k / 32]) · scale[n, k / 32]
// Both are y[rows, width] = x[rows, depth] · B[depth, width]: depth = K, width = N forward and
// depth = N, width = K backward. `data` holds word [n, k / 8], nibble k % 8.
//
// A workgroup makes TILE_ROWS × (LANES · COLUMNS) outputs, a lane TILE_ROWS × COLUMNS of them in
// registers. The rows are the same for the whole workgroup, so that the lanes of a quad can load
// one x each and share it, whatever the subgroup size and the order of lanes in a subgroup.
struct Span { start: u32, rows: u32 }
struct Shape { depth: u32, width: u32 }

@group(0) @binding(0) var<uniform> span: Span;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
//#if BACKWARD
@group(0) @binding(4) var<storage, read> data: array<vec2<u32>>;
//#else
@group(0) @binding(4) var<storage, read> data: array<u32>;
//#end
@group(0) @binding(5) var<storage, read> scales: array<f32>;
//#if ZERO_POINTS
@group(0) @binding(ZERO_POINTS_BINDING) var<storage, read> zeroPoints: array<u32>;
//#end
//#if BIAS
@group(0) @binding(BIAS_BINDING) var<storage, read> bias: array<f32>;
//#end
//#if RESIDUAL
@group(0) @binding(RESIDUAL_BINDING) var<storage, read> residual: array<f32>;
//#end

//#if ZERO_POINTS
// Block `index` of feature `feature`: two zero points a byte, the even block in the low nibble.
fn zeroPoint(feature: u32, index: u32, bytesPerFeature: u32) -> f32 {
  let byte = feature * bytesPerFeature + (index >> 1u);
  return f32((zeroPoints[byte >> 2u] >> ((byte & 3u) * 8u + (index & 1u) * 4u)) & 15u);
}
//#end

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
//#if QUADS
  @builtin(subgroup_invocation_id) subgroupLane: u32,
//#end
) {
  let depth = shape.depth;
  let width = shape.width;
  let firstRow = workgroup.y * TILE_ROWS;
  let lastRow = span.rows - 1u;
//#if QUADS
  let offset = subgroupLane & 3u;
//#else
  let offset = 0u;
//#end
//#repeat r TILE_ROWS
  let x$r = (span.start + min(firstRow + $ru, lastRow)) * depth + offset;
//#done
//#repeat r TILE_ROWS
//#repeat c COLUMNS
  var acc$r_$c = 0.0;
//#done
//#done

//#if BACKWARD
  // A lane owns nibbles `nibble` and `nibble + 4` of two neighbouring words (16 inputs a quad).
  let nibble = lane & 3u;
  let pair = workgroup.x * (LANES / 4u) + (lane >> 2u);
  let pairs = width >> 4u;
  let blocks = width >> 5u;
  let safePair = min(pair, pairs - 1u);
  let mask = 15u << (4u * nibble);
  let unit = 1.0 / f32(1u << (4u * nibble));
//#repeat c COLUMNS
  let column$c = pair * 16u + $cu * 4u + nibble;
//#done
  let whole = depth & ~3u;
  var k = 0u;
  for (; k < whole; k += 4u) {
//#repeat j 4
    let word$j = data[(k + $ju) * pairs + safePair];
    let scale$j = scales[(k + $ju) * blocks + (safePair >> 1u)];
//#if ZERO_POINTS
    let zero$j = -scale$j * zeroPoint(k + $ju, safePair >> 1u, (blocks + 1u) >> 1u);
//#else
    let zero$j = -8.0 * scale$j;
//#end
    let step$j = scale$j * unit;
    let w$j_0 = f32(i32(word$j.x & mask)) * step$j + zero$j;
    let w$j_1 = f32(i32((word$j.x >> 16u) & mask)) * step$j + zero$j;
    let w$j_2 = f32(i32(word$j.y & mask)) * step$j + zero$j;
    let w$j_3 = f32(i32((word$j.y >> 16u) & mask)) * step$j + zero$j;
//#done
//#repeat r TILE_ROWS
//#if QUADS
    let a$r = x[x$r + k];
//#end
//#repeat j 4
//#if QUADS
    let a$r_$j = quadBroadcast(a$r, $ju);
//#else
    let a$r_$j = x[x$r + k + $ju];
//#end
//#repeat c COLUMNS
    acc$r_$c += a$r_$j * w$j_$c;
//#done
//#done
//#done
  }
  for (; k < depth; k++) {
    let word = data[k * pairs + safePair];
    let scale = scales[k * blocks + (safePair >> 1u)];
//#if ZERO_POINTS
    let zero = -scale * zeroPoint(k, safePair >> 1u, (blocks + 1u) >> 1u);
//#else
    let zero = -8.0 * scale;
//#end
    let step = scale * unit;
    let w_0 = f32(i32(word.x & mask)) * step + zero;
    let w_1 = f32(i32((word.x >> 16u) & mask)) * step + zero;
    let w_2 = f32(i32(word.y & mask)) * step + zero;
    let w_3 = f32(i32((word.y >> 16u) & mask)) * step + zero;
//#repeat r TILE_ROWS
    let a$r = x[x$r - offset + k];
//#repeat c COLUMNS
    acc$r_$c += a$r * w_$c;
//#done
//#done
  }
//#else
  let words = depth >> 3u;
  let blocks = depth >> 5u;
  let firstColumn = workgroup.x * (LANES * COLUMNS) + lane;
//#repeat c COLUMNS
  let column$c = firstColumn + $cu * LANES;
  let feature$c = min(column$c, width - 1u);
//#done
  for (var block = 0u; block < blocks; block++) {
//#repeat c COLUMNS
    let scale$c = scales[feature$c * blocks + block];
//#if ZERO_POINTS
    let zero$c = -scale$c * zeroPoint(feature$c, block, (blocks + 1u) >> 1u);
//#else
    let zero$c = -8.0 * scale$c;
//#end
//#done
    for (var i = 0u; i < 4u; i++) {
      let index = block * 4u + i;
//#repeat c COLUMNS
      var word$c = data[feature$c * words + index];
//#done
      for (var half = 0u; half < 8u; half += 4u) {
        let k = index * 8u + half;
//#repeat j 4
//#repeat c COLUMNS
        let w$j_$c = f32(i32((word$c >> (4u * $ju)) & 15u)) * scale$c + zero$c;
//#done
//#done
//#repeat c COLUMNS
        word$c >>= 16u;
//#done
//#repeat r TILE_ROWS
//#if QUADS
        let a$r = x[x$r + k];
//#end
//#repeat j 4
//#if QUADS
        let a$r_$j = quadBroadcast(a$r, $ju);
//#else
        let a$r_$j = x[x$r + k + $ju];
//#end
//#repeat c COLUMNS
        acc$r_$c += a$r_$j * w$j_$c;
//#done
//#done
//#done
      }
    }
  }
//#end

//#if BIAS
//#repeat c COLUMNS
  let bias$c = bias[min(column$c, width - 1u)];
//#done
//#end
//#repeat r TILE_ROWS
  if (firstRow + $ru < span.rows) {
    let out$r = (span.start + firstRow + $ru) * width;
//#repeat c COLUMNS
    if (column$c < width) {
      var sum = acc$r_$c;
//#if BIAS
      sum += bias$c;
//#end
//#if RESIDUAL
      sum += residual[out$r + column$c];
//#end
//#if ACCUMULATE
      sum += y[out$r + column$c];
//#end
      y[out$r + column$c] = sum;
    }
//#done
  }
//#done
}
