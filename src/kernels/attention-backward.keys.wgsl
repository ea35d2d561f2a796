// Gradient of attention with respect to keys and values.
//   p_ij = exp(SCALE · q_i·k_j − lse_i)   ds_ij = p_ij (dO_i·v_j − D_i)
//   dK_j = SCALE · Σ_i ds_ij q_i   dV_j = Σ_i p_ij dO_i   over query rows i and all heads of j's group
// q, dO [rows, H·hd]; k, v, dK, dV [rows, Hkv·hd]; stats vec2 [rows, H] = {lse · log2 e, D}.
//
// One thread serves KEYS neighbouring keys of one KV head, so that a loaded query serves them all.
// Text keys: row j is seen by the query rows [j, queryEnd[j]). PREFIX keys: each partition of the
// query rows writes sums of its own, partial [PARTITIONS, 2 (dK, dV), n, Hkv·hd], which
// attention-backward.reduce.wgsl adds in a fixed order; what a query sees stands in keys and self.
// Source: Dao et al. 2022, "FlashAttention", appendix B.
@group(0) @binding(0) var<uniform> span: vec4<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dO: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;
//#if PREFIX
@group(0) @binding(6) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read> selfRow: array<u32>;
@group(0) @binding(8) var<storage, read_write> partial: array<vec4<f32>>;
@group(0) @binding(9) var<uniform> queries: vec4<u32>;
//#else
@group(0) @binding(6) var<storage, read> queryEnd: array<u32>;
@group(0) @binding(7) var<storage, read_write> dK: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> dV: array<vec4<f32>>;
//#end

fn total(x: vec4<f32>) -> f32 {
  return (x.x + x.y) + (x.z + x.w);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let thread = (group.x + group.y * groups.x) * WORKGROUP + lane;
  let kvHead = thread % KV_HEADS;
  //#if PREFIX
  let keyGroups = (span.y + KEYS - 1u) / KEYS;
  let part = thread / KV_HEADS / keyGroups;
  let first = thread / KV_HEADS % keyGroups * KEYS;
  if (part >= PARTITIONS) {
    return;
  }
  let share = (queries.y + PARTITIONS - 1u) / PARTITIONS;
  let begin = queries.x + min(part * share, queries.y);
  let finish = min(begin + share, queries.x + queries.y);
  //#else
  let first = thread / KV_HEADS * KEYS;
  if (first >= span.y) {
    return;
  }
  let begin = span.x + first;
  var finish = 0u;
  //#end

  // Keys past the end repeat the last one: they write what it writes.
  //@for c KEYS
  let key$c = span.x + min(first + $cu, span.y - 1u);
  //#if !PREFIX
  let end$c = queryEnd[key$c];
  finish = max(finish, end$c);
  //#end
  //@end
  var k_: array<vec4<f32>, KEYS * D4>;
  var v_: array<vec4<f32>, KEYS * D4>;
  var dK_: array<vec4<f32>, KEYS * D4>;
  var dV_: array<vec4<f32>, KEYS * D4>;
  //@for c KEYS
  //@for d D4
  k_[$c * D4 + $d] = k[(key$c * KV_HEADS + kvHead) * D4 + $d] * SCALE_LOG2E_F;
  v_[$c * D4 + $d] = v[(key$c * KV_HEADS + kvHead) * D4 + $d];
  //@end
  //@end

  for (var i = begin; i < finish; i++) {
    //#if PREFIX
    let seen = keys[i];
    let own = selfRow[i];
    //@for c KEYS
    let sees$c = key$c < seen.x || (key$c >= seen.y && key$c < seen.z)
      || (key$c >= seen.w && key$c <= own);
    //@end
    //#else
    //@for c KEYS
    let sees$c = i >= key$c && i < end$c;
    //@end
    //#end
    for (var h = kvHead * GROUP; h < (kvHead + 1u) * GROUP; h++) {
      let base = (i * H + h) * D4;
      let stats_ = stats[i * H + h];
      //@for d D4
      let q$d = q[base + $d];
      let dO$d = dO[base + $d];
      //@end
      //@for c KEYS
      var s$c = vec4<f32>();
      var dp$c = vec4<f32>();
      //@for d D4
      s$c = fma(q$d, k_[$c * D4 + $d], s$c);
      dp$c = fma(dO$d, v_[$c * D4 + $d], dp$c);
      //@end
      // Clamped, because a key that the row does not see may score above its log-sum-exp.
      let p$c = select(0.0, exp2(min(total(s$c) - stats_.x, 1.0)), sees$c);
      let ds$c = vec4<f32>(p$c * (total(dp$c) - stats_.y));
      //@for d D4
      dV_[$c * D4 + $d] = fma(vec4<f32>(p$c), dO$d, dV_[$c * D4 + $d]);
      dK_[$c * D4 + $d] = fma(ds$c, q$d, dK_[$c * D4 + $d]);
      //@end
      //@end
    }
  }

  //@for c KEYS
  {
    //#if PREFIX
    let inPrefix = key$c - span.x;
    let outK = ((part * 2u * span.y + inPrefix) * KV_HEADS + kvHead) * D4;
    let outV = outK + span.y * KV_HEADS * D4;
    //@for d D4
    partial[outK + $d] = dK_[$c * D4 + $d] * SCALE_F;
    partial[outV + $d] = dV_[$c * D4 + $d];
    //@end
    //#else
    let out = (key$c * KV_HEADS + kvHead) * D4;
    //@for d D4
    dK[out + $d] = dK_[$c * D4 + $d] * SCALE_F;
    dV[out + $d] = dV_[$c * D4 + $d];
    //@end
    //#end
  }
  //@end
}
