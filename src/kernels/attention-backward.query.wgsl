// Gradient of attention with respect to the queries.
//   p_ij = exp(SCALE · q_i·k_j − lse_i)   dp_ij = dO_i·v_j   D_i = Σ_d dO_i O_i
//   dQ_i = SCALE · Σ_j p_ij (dp_ij − D_i) k_j
// q, dO, dQ [rows, H·hd]; k, v [kvRows, Hkv·hd]; stats vec2 [rows, H] = {lse · log2 e, D}. Which
// keys a query sees, and what one thread does: as in attention.wgsl.
// Source: Dao et al. 2022, "FlashAttention", appendix B.
@group(0) @binding(0) var<uniform> span: vec4<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dO: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read> selfRow: array<u32>;
@group(0) @binding(8) var<storage, read_write> dQ: array<vec4<f32>>;

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
  let slice = thread % SLICES;
  let first = thread / SLICES * ROWS;
  if (first >= span.y) {
    return;
  }
  let head = slice * HEADS;
  let kvOffset = head / GROUP * D4;

  // Rows past the end repeat the last one: they write what it writes.
  //@for r ROWS
  let row$r = span.x + min(first + $ru, span.y - 1u);
  let seen$r = keys[row$r];
  let end$r = selfRow[row$r] + 1u;
  //@end
  var q_: array<vec4<f32>, QUERIES * D4>;
  var dO_: array<vec4<f32>, QUERIES * D4>;
  var dQ_: array<vec4<f32>, QUERIES * D4>;
  //@for r ROWS
  //@for h HEADS
  let stats$r_$h = stats[row$r * H + head + $h];
  //@for d D4
  q_[($r * HEADS + $h) * D4 + $d] = q[(row$r * H + head + $h) * D4 + $d] * SCALE_LOG2E_F;
  dO_[($r * HEADS + $h) * D4 + $d] = dO[(row$r * H + head + $h) * D4 + $d];
  //@end
  //@end
  //@end

  // Range 0 is the prefix, 1 + r the a-range of row r, 1 + ROWS + r its b-range.
  for (var range = 0u; range < 1u + 2u * ROWS; range++) {
    let leader = (range + ROWS - 1u) % ROWS;
    let inB = range > ROWS;
    let inAny = range > 0u;
    var lo = 0u;
    //@for r ROWS
    let lo$r = select(0u, select(seen$r.y, seen$r.w, inB), inAny);
    var hi$r = select(seen$r.x, select(seen$r.z, end$r, inB), inAny);
    lo = select(lo, lo$r, leader == $ru);
    //@end
    // Rows with the same start share one walk, that of the first of them.
    var hi = 0u;
    var walked = false;
    //@for r ROWS
    hi$r = select(0u, hi$r, lo$r == lo);
    hi = max(hi, hi$r);
    walked = walked || (inAny && $ru < leader && lo$r == lo);
    //@end
    hi = select(hi, 0u, walked);

    for (var j = lo; j < hi; j++) {
      let base = j * KV_D4 + kvOffset;
      //@for d D4
      let k$d = k[base + $d];
      let v$d = v[base + $d];
      //@end
      //@for r ROWS
      //@for h HEADS
      var s$r_$h = vec4<f32>();
      var dp$r_$h = vec4<f32>();
      //@for d D4
      s$r_$h = fma(q_[($r * HEADS + $h) * D4 + $d], k$d, s$r_$h);
      dp$r_$h = fma(dO_[($r * HEADS + $h) * D4 + $d], v$d, dp$r_$h);
      //@end
      // Clamped, because a key that the row does not see may score above its log-sum-exp.
      let p$r_$h = select(0.0, exp2(min(total(s$r_$h) - stats$r_$h.x, 1.0)), j < hi$r);
      let ds$r_$h = vec4<f32>(p$r_$h * (total(dp$r_$h) - stats$r_$h.y));
      //@for d D4
      dQ_[($r * HEADS + $h) * D4 + $d] = fma(ds$r_$h, k$d, dQ_[($r * HEADS + $h) * D4 + $d]);
      //@end
      //@end
      //@end
    }
  }

  //@for r ROWS
  //@for h HEADS
  //@for d D4
  dQ[(row$r * H + head + $h) * D4 + $d] = dQ_[($r * HEADS + $h) * D4 + $d] * SCALE_F;
  //@end
  //@end
  //@end
}
