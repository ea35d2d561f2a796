// Grouped-query attention with streaming softmax.
//   s_ij = SCALE · q_i·k_j   p_i = softmax over the keys that i sees   o_i = Σ_j p_ij v_j
//   lse_i = log Σ_j exp s_ij
// q, o [rows, H·hd]; k, v [kvRows, Hkv·hd]; lse [rows, H]. Query i sees pool rows
// [0, prefixEnd) ∪ [a0, a1) ∪ [b0, self + 1), disjoint, with keys[i] = {prefixEnd, a0, a1, b0}.
//
// One thread serves ROWS neighbouring queries and HEADS heads of one KV head, so that a loaded key
// or value serves ROWS·HEADS products: loads are what this kernel waits for. Neighbours mostly see
// the same ranges; the thread walks every range that one of its queries sees and masks the others.
// The softmax runs on base 2: q is scaled by SCALE·log2 e once.
// Source: Milakov & Gimelshein 2018, "Online normalizer calculation for softmax".
@group(0) @binding(0) var<uniform> span: vec4<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> selfRow: array<u32>;
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;

const LOWEST = -3.0e38f;
const LN_2 = 0.6931471805599453f;

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
  var o_: array<vec4<f32>, QUERIES * D4>;
  var top: array<f32, QUERIES>;
  var sum: array<f32, QUERIES>;
  //@for r ROWS
  //@for h HEADS
  top[$r * HEADS + $h] = LOWEST;
  //@for d D4
  q_[($r * HEADS + $h) * D4 + $d] = q[(row$r * H + head + $h) * D4 + $d] * SCALE_LOG2E_F;
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

    for (var j = lo; j < hi; j += KEYS) {
      //@for c KEYS
      let base$c = min(j + $cu, hi - 1u) * KV_D4 + kvOffset;
      //@for r ROWS
      let sees$r_$c = j + $cu < hi$r;
      //@end
      //@for d D4
      let k$c_$d = k[base$c + $d];
      //@end
      //@end
      //@for r ROWS
      //@for h HEADS
      let before$r_$h = top[$r * HEADS + $h];
      var after$r_$h = before$r_$h;
      //@for c KEYS
      var dots$r_$h_$c = vec4<f32>();
      //@for d D4
      dots$r_$h_$c = fma(q_[($r * HEADS + $h) * D4 + $d], k$c_$d, dots$r_$h_$c);
      //@end
      let s$r_$h_$c = select(LOWEST, total(dots$r_$h_$c), sees$r_$c);
      after$r_$h = max(after$r_$h, s$r_$h_$c);
      //@end
      let shrink$r_$h = exp2(before$r_$h - after$r_$h);
      top[$r * HEADS + $h] = after$r_$h;
      var more$r_$h = sum[$r * HEADS + $h] * shrink$r_$h;
      //@for c KEYS
      // While nothing has been seen the difference is 0 and its power 1, so masks count here too.
      let p$r_$h_$c = select(0.0, exp2(s$r_$h_$c - after$r_$h), sees$r_$c);
      more$r_$h += p$r_$h_$c;
      //@end
      sum[$r * HEADS + $h] = more$r_$h;
      //@end
      //@end
      //@for c KEYS
      //@for d D4
      let v$c_$d = v[base$c + $d];
      //@end
      //@end
      //@for r ROWS
      //@for h HEADS
      //@for d D4
      var o$r_$h_$d = o_[($r * HEADS + $h) * D4 + $d] * shrink$r_$h;
      //@for c KEYS
      o$r_$h_$d = fma(vec4<f32>(p$r_$h_$c), v$c_$d, o$r_$h_$d);
      //@end
      o_[($r * HEADS + $h) * D4 + $d] = o$r_$h_$d;
      //@end
      //@end
      //@end
    }
  }

  //@for r ROWS
  //@for h HEADS
  {
    let scale = 1.0 / sum[$r * HEADS + $h];
    lse[row$r * H + head + $h] = (top[$r * HEADS + $h] + log2(sum[$r * HEADS + $h])) * LN_2;
    //@for d D4
    o[(row$r * H + head + $h) * D4 + $d] = o_[($r * HEADS + $h) * D4 + $d] * scale;
    //@end
  }
  //@end
  //@end
}
