// Gradient of attention with respect to the queries.
//   p_ij = exp(SCALE · q_i·k_j − lse_i)   dp_ij = dO_i·v_j   D_i = Σ_d dO_i O_i
//   dQ_i = SCALE · Σ_j p_ij (dp_ij − D_i) k_j
// CAPPED: s_ij = c tanh(SCALE · q_i·k_j / c) in p, and the slope 1 − (s_ij / c)² beside dp_ij − D_i.
// q, dO, dQ [rows, H·hd]; k, v [kvRows, Hkv·hd]; stats vec2 [rows, H] = {lse · log2 e, D}.
// attention.walk.wgsl goes before this text; what one lane does is as in attention.wgsl (SHARED).
// Source: Dao et al. 2022, "FlashAttention", appendix B.
@group(0) @binding(6) var<storage, read> dO: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(8) var<storage, read_write> dQ: array<vec4<f32>>;

const EACH = HEADS * PARTS * WIDTH;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  //#if QUADS
  @builtin(subgroup_invocation_id) subgroupLane: u32,
  //#end
) {
  let block = group.x + group.y * groups.x;
  let first = block / SLICES * (WORKGROUP * ROWS);
  if (first >= span.y) {
    return;
  }
  let begin = span.x + first;
  let count = min(WORKGROUP * ROWS, span.y - first);
  let head = block % SLICES * HEADS;
  let kvOffset = head / GROUP * (PARTS * WIDTH);
  //#if QUADS
  let quadLane = subgroupLane & 3u;
  // 1, which a compiler cannot know: without a product swapped lanes would be taken for integers.
  let one = f32(min(span.y, 1u));
  //#else
  const quadLane = 0u;
  //#end

  //#if ROLLED
  var loadedQ: array<vec4<f32>, ROWS * EACH>;
  var loadedDO: array<vec4<f32>, ROWS * EACH>;
  //#end
  // Rows past the end repeat the last one: they write what it writes.
  //#repeat r ROWS
  let place$r = min(lane + $ru * WORKGROUP, count - 1u);
  let at$r = ((begin + place$r) * H + head) * (PARTS * WIDTH);
  //#if ROLLED
  for (var i = 0u; i < EACH; i++) {
    loadedQ[$r * EACH + i] = q[at$r + (i ^ quadLane)];
    loadedDO[$r * EACH + i] = dO[at$r + (i ^ quadLane)];
  }
  //#end
  //#repeat h HEADS
  let stats$r_$h = stats[(begin + place$r) * H + head + $h];
  //#repeat e PARTS
  //#repeat f WIDTH
  //#if ROLLED
  let q$r_$h_$e_$f = loadedQ[(($r * HEADS + $h) * PARTS + $e) * WIDTH + $f] * SCALE_LOG2E_F;
  let dO$r_$h_$e_$f = loadedDO[(($r * HEADS + $h) * PARTS + $e) * WIDTH + $f];
  //#else
  let q$r_$h_$e_$f = q[at$r + ($h * PARTS + $e) * WIDTH + ($fu ^ quadLane)] * SCALE_LOG2E_F;
  let dO$r_$h_$e_$f = dO[at$r + ($h * PARTS + $e) * WIDTH + ($fu ^ quadLane)];
  //#end
  var dQ$r_$h_$e_$f = vec4<f32>();
  //#done
  //#done
  //#done
  //#done

  for (var kind = 0u; kind < 3u; kind++) {
    //#repeat r ROWS
    let own$r = endOf(kind, begin + place$r);
    //#if WINDOWED
    let low$r = lowOf(kind, begin + place$r);
    //#end
    //#done
    var at = 0u;
    var next = startOf(kind, begin);
    while (at < count) {
      let runBegin = at;
      let lo = next;
      var hi = 0u;
      while (at < count && next == lo) {
        hi = max(hi, endOf(kind, begin + at));
        at++;
        next = startOf(kind, begin + min(at, count - 1u));
      }
      //#repeat r ROWS
      let end$r = select(0u, own$r, place$r >= runBegin && place$r < at);
      //#done

      for (var j = lo; j < hi; j += KEYS) {
        //#repeat c KEYS
        let base$c = min(j + $cu, hi - 1u) * KV_D4 + kvOffset;
        //#repeat e PARTS
        //#if QUADS
        let k$c_$e_0 = k[base$c + $e * WIDTH + quadLane];
        let v$c_$e_0 = v[base$c + $e * WIDTH + quadLane];
        let k$c_$e_1 = quadSwapX(k$c_$e_0) * one;
        let v$c_$e_1 = quadSwapX(v$c_$e_0) * one;
        let k$c_$e_2 = quadSwapY(k$c_$e_0) * one;
        let v$c_$e_2 = quadSwapY(v$c_$e_0) * one;
        let k$c_$e_3 = quadSwapDiagonal(k$c_$e_0) * one;
        let v$c_$e_3 = quadSwapDiagonal(v$c_$e_0) * one;
        //#else
        //#repeat f WIDTH
        let k$c_$e_$f = k[base$c + $e * WIDTH + $f];
        let v$c_$e_$f = v[base$c + $e * WIDTH + $f];
        //#done
        //#end
        //#done
        //#done
        //#repeat r ROWS
        //#repeat h HEADS
        //#repeat c KEYS
        var dots$r_$h_$c = 0.0;
        var dp$r_$h_$c = 0.0;
        //#repeat e PARTS
        //#repeat f WIDTH
        dots$r_$h_$c += dot(q$r_$h_$e_$f, k$c_$e_$f);
        dp$r_$h_$c += dot(dO$r_$h_$e_$f, v$c_$e_$f);
        //#done
        //#done
        // Clamped, because a key that the row does not see may score above its log-sum-exp.
        //#if CAPPED
        let bend$r_$h_$c = tanh(clamp(dots$r_$h_$c / CAP_LOG2E_F, -15.0, 15.0));
        let s$r_$h_$c = min(CAP_LOG2E_F * bend$r_$h_$c - stats$r_$h.x, 1.0);
        //#else
        let s$r_$h_$c = min(dots$r_$h_$c - stats$r_$h.x, 1.0);
        //#end
        //#if WINDOWED
        let p$r_$h_$c = select(0.0, exp2(s$r_$h_$c), j + $cu < end$r && j + $cu >= low$r);
        //#else
        let p$r_$h_$c = select(0.0, exp2(s$r_$h_$c), j + $cu < end$r);
        //#end
        //#if CAPPED
        let ds$r_$h_$c = p$r_$h_$c * (dp$r_$h_$c - stats$r_$h.y)
          * (1.0 - bend$r_$h_$c * bend$r_$h_$c);
        //#else
        let ds$r_$h_$c = p$r_$h_$c * (dp$r_$h_$c - stats$r_$h.y);
        //#end
        //#repeat e PARTS
        //#repeat f WIDTH
        dQ$r_$h_$e_$f += ds$r_$h_$c * k$c_$e_$f;
        //#done
        //#done
        //#done
        //#done
        //#done
      }
    }
  }

  //#repeat r ROWS
  var out$r = array<vec4<f32>, EACH>(
    //#repeat h HEADS
    //#repeat e PARTS
    //#repeat f WIDTH
    dQ$r_$h_$e_$f * SCALE_F,
    //#done
    //#done
    //#done
  );
  for (var i = 0u; i < EACH; i++) {
    dQ[at$r + (i ^ quadLane)] = out$r[i];
  }
  //#done
}
