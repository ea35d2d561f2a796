// What the backward of attention needs of each query row and head, in one load:
//   stats[i, h] = { lse_ih · log2 e, Σ_d dO_ihd · O_ihd }
// o, dO [rows, H·hd]; lse [rows, H]; stats vec2 [rows, H]. One thread a row and head.
// Source: Dao et al. 2022, "FlashAttention", appendix B (D_i = rowsum(dO ∘ O)).
@group(0) @binding(0) var<uniform> span: vec4<u32>;
@group(0) @binding(1) var<storage, read> o: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dO: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> lse: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2<f32>>;

const D4 = PARTS * WIDTH;
const LOG2_E = 1.4426950408889634f;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let thread = (group.x + group.y * groups.x) * WORKGROUP + lane;
  if (thread >= span.y * H) {
    return;
  }
  let at = span.x * H + thread;
  var sum = vec4<f32>();
  for (var d = at * D4; d < (at + 1u) * D4; d++) {
    sum += o[d] * dO[d];
  }
  stats[at] = vec2<f32>(lse[at] * LOG2_E, (sum.x + sum.y) + (sum.z + sum.w));
}
