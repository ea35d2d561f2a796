// Moves rows of DIM floats between buffers. One invocation an element (four with VEC4); `span` counts
// the rows that are moved.
// COPY     y[target.start + r] = x[span.start + r]
// ADD      y[target.start + r] += x[span.start + r]     (COPY is set too)
// GATHER   y[span.start + r] = x[index[span.start + r]]
// SCATTER  y[index[span.start + r]] = x[span.start + r]     (indices unique)
// CLEAR    y[span.start + r] = 0

struct Span { start: u32, rows: u32, unused_a: u32, unused_b: u32 }

//#if VEC4
alias Value = vec4<f32>;
const WIDTH = DIM / 4u;
//#else
alias Value = f32;
const WIDTH = DIM;
//#end

@group(0) @binding(0) var<uniform> span: Span;
@group(0) @binding(1) var<storage, read_write> y: array<Value>;
//#if !CLEAR
@group(0) @binding(2) var<storage, read> x: array<Value>;
//#end
//#if COPY
@group(0) @binding(3) var<uniform> place: Span;
//#end
//#if INDEXED
@group(0) @binding(3) var<storage, read> index: array<u32>;
//#end

@compute @workgroup_size(GROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * GROUP + lane;
  if (i >= span.rows * WIDTH) {
    return;
  }
  let row = span.start + i / WIDTH;
  let column = i % WIDTH;
//#if COPY
//#if ADD
  y[place.start * WIDTH + i] += x[span.start * WIDTH + i];
//#else
  y[place.start * WIDTH + i] = x[span.start * WIDTH + i];
//#end
//#end
//#if GATHER
  y[row * WIDTH + column] = x[index[row] * WIDTH + column];
//#end
//#if SCATTER
  y[index[row] * WIDTH + column] = x[row * WIDTH + column];
//#end
//#if CLEAR
  y[row * WIDTH + column] = Value(0.0);
//#end
}
