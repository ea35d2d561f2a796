// Sums the partial gradients of the prefix keys over the partitions, always in the same order.
//   dK_j = Σ_p partialK[p, j]   dV_j = Σ_p partialV[p, j]
// partialK, partialV [cut.x, n, Hkv·hd]; dK, dV [rows, Hkv·hd], rows span.x … span.x + n − 1 of them.
// One thread a vec4 of dK and the same of dV. AHEAD: eight parts a turn, whose loads need not wait for
// each other.
@group(0) @binding(0) var<uniform> span: vec4<u32>;
@group(0) @binding(1) var<storage, read> partialK: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> partialV: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> dK: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> dV: array<vec4<f32>>;
@group(0) @binding(5) var<uniform> cut: vec4<u32>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let at = (group.x + group.y * groups.x) * WORKGROUP + lane;
  let each = span.y * KV_D4;
  if (at >= each) {
    return;
  }
  var sumK = vec4<f32>();
  var sumV = vec4<f32>();
  //#if AHEAD
  for (var p = 0u; p < cut.x; p += 8u) {
    //#repeat u 8
    let from$u = min(p + $uu, cut.x - 1u) * each + at;
    let k$u = partialK[from$u];
    let v$u = partialV[from$u];
    //#done
    //#repeat u 8
    sumK += select(vec4<f32>(), k$u, p + $uu < cut.x);
    sumV += select(vec4<f32>(), v$u, p + $uu < cut.x);
    //#done
  }
  //#else
  for (var p = 0u; p < cut.x; p++) {
    sumK += partialK[p * each + at];
    sumV += partialV[p * each + at];
  }
  //#end
  dK[span.x * KV_D4 + at] = sumK;
  dV[span.x * KV_D4 + at] = sumV;
}
