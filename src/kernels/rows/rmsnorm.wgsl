// RMSNorm over rows: y = x * r * weight, r = 1 / sqrt(mean(x^2) + EPS); with RESIDUAL y = residual + that.
// Backward: dx (+)= r * (weight * dy) - x * r^3 / DIM * sum(weight * dy * x).
// x, y, dy, dx [rows, DIM]; weight [DIM]. Source: Zhang and Sennrich 2019, differentiated by hand.
// ROW_PER_THREAD: one invocation does a row (software adapters). Otherwise a workgroup does a row.

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> weight: array<Value>;
//#if BACKWARD
@group(0) @binding(2) var<storage, read> dy: array<Value>;
@group(0) @binding(3) var<storage, read_write> dx: array<Value>;
@group(0) @binding(4) var<uniform> span: Span;
//#else
@group(0) @binding(2) var<storage, read_write> y: array<Value>;
@group(0) @binding(3) var<uniform> span: Span;
//#if RESIDUAL
@group(0) @binding(4) var<storage, read> residual: array<Value>;
//#end
//#end

//#if ROW_PER_THREAD
const STEP = 1u;
//#else
const STEP = LANES;
//#end

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
//#if ROW_PER_THREAD
  let r = (group.x + group.y * groups.x) * LANES + lane;
  let first = 0u;
//#else
  let r = group.x + group.y * groups.x;
  let first = lane;
//#end
  if (r >= span.rows) {
    return;
  }
  let base = (span.start + r) * WIDTH;
  var squares = Value(0.0);
//#if BACKWARD
  var products = Value(0.0);
//#end
  for (var i = first; i < WIDTH; i += STEP) {
    let value = x[base + i];
    squares += value * value;
//#if BACKWARD
    products += value * (weight[i] * dy[base + i]);
//#end
  }
//#if ROW_PER_THREAD
//#if BACKWARD
  let sums = vec2<f32>(across(squares), across(products));
//#else
  let sums = vec2<f32>(across(squares), 0.0);
//#end
//#else
//#if BACKWARD
  let sums = lanes_sum(vec4<f32>(across(squares), across(products), 0.0, 0.0), lane).xy;
//#else
  let sums = lanes_sum(vec4<f32>(across(squares), 0.0, 0.0, 0.0), lane).xy;
//#end
//#end
  let scale = 1.0 / sqrt(sums.x / f32(DIM) + EPS_F);
//#if BACKWARD
  let pull = sums.y * scale * scale * scale / f32(DIM);
//#end
  for (var i = first; i < WIDTH; i += STEP) {
//#if BACKWARD
    let slope = scale * (weight[i] * dy[base + i]) - pull * x[base + i];
//#if ACCUMULATE
    dx[base + i] += slope;
//#else
    dx[base + i] = slope;
//#end
//#else
//#if RESIDUAL
    y[base + i] = residual[base + i] + x[base + i] * scale * weight[i];
//#else
    y[base + i] = x[base + i] * scale * weight[i];
//#end
//#end
  }
}
