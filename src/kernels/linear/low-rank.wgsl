// Products with a thin matrix M [RANK, width], for LoRA and steering vectors (METHOD.md §6).
//   DOWN   h[row, r]  = scale · Σ_c x[row, c] · M[r, c]
//   UP     y[row, c] += Σ_r h[row, r] · M[r, c]
//   OUTER  G[r, c]    = Σ_row h[row, r] · x[row, c]
// LoRA with A [RANK, K] and B stored transposed, [RANK, N] (Hu et al. 2021; y = W x + scale · B A x):
//   forward   h = DOWN(x, A) with scale;   UP(h, B) onto y
//   backward  g = DOWN(dy, B) with scale;  dA = OUTER(g, x);  dB = OUTER(h, dy);  UP(g, A) onto dx
// A steering vector v is UP with h = 1 and M = v; its gradient is OUTER with h = 1.
// x and y [rows, width], h [rows, RANK], G [RANK, width]; the width is a uniform.

struct Span { start: u32, rows: u32, unused_a: u32, unused_b: u32 }
struct Shape { width: u32, scale: f32, unused_a: u32, unused_b: u32 }

//#if VEC4
alias Value = vec4<f32>;
const PACK = 4u;
fn across(value: Value) -> f32 {
  return (value.x + value.y) + (value.z + value.w);
}
//#else
alias Value = f32;
const PACK = 1u;
fn across(value: Value) -> f32 {
  return value;
}
//#end

@group(0) @binding(0) var<uniform> span: Span;
@group(0) @binding(1) var<uniform> shape: Shape;
//#if DOWN
@group(0) @binding(2) var<storage, read> x: array<Value>;
@group(0) @binding(3) var<storage, read> m: array<Value>;
@group(0) @binding(4) var<storage, read_write> h: array<f32>;

// One workgroup a row: its invocations share the width.
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
  let row = span.start + r;
  let width = shape.width / PACK;
//#repeat k PADDED
  var sum$k = Value(0.0);
//#done
  for (var c = lane; c < width; c += LANES) {
    let value = x[row * width + c];
//#repeat k RANK
    sum$k += value * m[$ku * width + c];
//#done
  }
//#repeat q QUARTETS
  let total$q = lanes_sum(
    vec4<f32>(
      across(sum{4*$q+0}),
      across(sum{4*$q+1}),
      across(sum{4*$q+2}),
      across(sum{4*$q+3}),
    ),
    lane,
  );
//#repeat e 4
  if (lane == 0u && {4*$q+$e}u < RANK) {
    h[row * RANK + {4*$q+$e}u] = shape.scale * total$q[$e];
  }
//#done
//#done
}
//#end
//#if UP
@group(0) @binding(2) var<storage, read> h: array<f32>;
@group(0) @binding(3) var<storage, read> m: array<Value>;
@group(0) @binding(4) var<storage, read_write> y: array<Value>;

// An invocation adds to ROWS rows at one column: M is read once for all of them.
@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let width = shape.width / PACK;
  let c = group.x * LANES + lane;
  let first = group.y * ROWS;
  if (c >= width) {
    return;
  }
//#repeat k RANK
  let m$k = m[$ku * width + c];
//#done
  let last = min(first + ROWS, span.rows);
  for (var r = first; r < last; r++) {
    let row = span.start + r;
    var sum = y[row * width + c];
//#repeat k RANK
    sum += h[row * RANK + $ku] * m$k;
//#done
    y[row * width + c] = sum;
  }
}
//#end
//#if OUTER
@group(0) @binding(2) var<storage, read> h: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<Value>;
@group(0) @binding(4) var<storage, read_write> g: array<Value>;

//#if SLICED
var<workgroup> slices: array<Value, LANES * SLICES>;
//#end

// An invocation sums every SLICES-th row at one column; the order of additions is fixed.
@compute @workgroup_size(LANES, SLICES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
) {
  let width = shape.width / PACK;
  let c = group.x * LANES + local.x;
  let column = min(c, width - 1u);
//#repeat k RANK
  var sum$k = Value(0.0);
//#done
  for (var r = local.y; r < span.rows; r += SLICES) {
    let row = span.start + r;
    let value = x[row * width + column];
//#repeat k RANK
    sum$k += h[row * RANK + $ku] * value;
//#done
  }
//#if SLICED
//#repeat k RANK
  slices[local.y * LANES + local.x] = sum$k;
  workgroupBarrier();
  if (local.y == 0u && c < width) {
    var total = slices[local.x];
    for (var i = 1u; i < SLICES; i++) {
      total += slices[i * LANES + local.x];
    }
    g[$ku * width + c] = total;
  }
  workgroupBarrier();
//#done
//#else
  if (c < width) {
//#repeat k RANK
    g[$ku * width + c] = sum$k;
//#done
  }
//#end
}
//#end
