// Linear layer with f32 weights (ARCHITECTURE.md "Only dX").
//   forward:   y[m, n]  = Σ_k x[m, k] · w[n, k]  (+ bias[n]) (+ residual[m, n])
//   backward: dx[m, k] (+)= Σ_n dy[m, n] · w[n, k]
// Both are y[rows, width] = x[rows, depth] · B[depth, width]. ACROSS: B is stored [depth, width]
// (neighbouring lanes read neighbouring values); otherwise [width, depth].
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
@group(0) @binding(4) var<storage, read> weight: array<f32>;
//#if BIAS
@group(0) @binding(5) var<storage, read> bias: array<f32>;
//#end
//#if RESIDUAL
@group(0) @binding(RESIDUAL_BINDING) var<storage, read> residual: array<f32>;
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
  let firstColumn = workgroup.x * (LANES * COLUMNS) + lane;
//#repeat c COLUMNS
  let column$c = firstColumn + $cu * LANES;
//#if ACROSS
  var weight$c = min(column$c, width - 1u);
//#else
  var weight$c = min(column$c, width - 1u) * depth;
//#end
//#done
//#if ACROSS
  let stride = width;
//#else
  let stride = 1u;
//#end

  let whole = depth & ~3u;
  var k = 0u;
  for (; k < whole; k += 4u) {
//#repeat c COLUMNS
//#repeat j 4
    let w$j_$c = weight[weight$c + $ju * stride];
//#done
    weight$c += 4u * stride;
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
//#repeat c COLUMNS
    let w_$c = weight[weight$c];
    weight$c += stride;
//#done
//#repeat r TILE_ROWS
    let a$r = x[x$r - offset + k];
//#repeat c COLUMNS
    acc$r_$c += a$r * w_$c;
//#done
//#done
  }

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
