// Copies rows to places of their own: y[destination[i]] = x[i], x [rows, dim], y [poolRows, dim].
// Writes value projections to the KV pool. One thread a vec4.
@group(0) @binding(0) var<uniform> span: vec4<u32>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> destination: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let thread = (group.x + group.y * groups.x) * WORKGROUP + lane;
  if (thread >= span.y * DIM4) {
    return;
  }
  let row = span.x + thread / DIM4;
  let d = thread % DIM4;
  y[destination[row] * DIM4 + d] = x[row * DIM4 + d];
}
