// Moves decoding rows one token on: positions, KV-pool rows and sample counters each grow by one.
// positions, self, counter: u32 [rows].
struct Span { start: u32, rows: u32 }
@group(0) @binding(0) var<uniform> span: Span;
@group(0) @binding(1) var<storage, read_write> positions: array<u32>;
@group(0) @binding(2) var<storage, read_write> self_row: array<u32>;
@group(0) @binding(3) var<storage, read_write> counter: array<u32>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (wid.x + wid.y * groups.x) * 64u + lane;
  if (i >= span.rows) {
    return;
  }
  let row = span.start + i;
  positions[row] += 1u;
  self_row[row] += 1u;
  counter[row] += 1u;
}
