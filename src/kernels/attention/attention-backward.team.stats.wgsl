// attention-backward.stats.wgsl by teams of lanes: one team a row and head. attention.team.wgsl goes
// before this text.
//   stats[i, h] = { lse_ih · log2 e, Σ_d dO_ihd · O_ihd }
// o, dO [rows, H·hd]; lse [rows, H]; stats vec2 [rows, H].
@group(0) @binding(0) var<uniform> span: vec4<u32>;
@group(0) @binding(1) var<storage, read> o: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dO: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;

const LOG2_E = 1.4426950408889634f;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let thread = (group.x + group.y * groups.x) * WORKGROUP + lane;
  let part = thread % TEAM;
  // Teams past the end repeat the last one, because all lanes must take part in the sum.
  let at = span.x * H + min(thread / TEAM, span.y * H - 1u);
  var products = vec4<f32>();
  //#repeat e PARTS
  products += o[(at * PARTS + $e) * TEAM + part] * dO[(at * PARTS + $e) * TEAM + part];
  //#done
  let sum = teamSum(products);
  if (part == 0u) {
    stats[at] = vec2<f32>(lse[at] * LOG2_E, sum);
  }
}
