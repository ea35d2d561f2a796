// Gradient of attention with respect to keys and values.
//   p_ij = exp(SCALE · q_i·k_j − lse_i)   ds_ij = p_ij (dO_i·v_j − D_i)
//   dK_j = SCALE · Σ_i ds_ij q_i   dV_j = Σ_i p_ij dO_i   over query rows i and all heads of j's group
// q, dO [rows, H·hd]; k, v, dK, dV [rows, Hkv·hd]; stats vec2 [rows, H] = {lse · log2 e, D}.
// CAPPED: s_ij = c tanh(SCALE · q_i·k_j / c) in p, and the slope 1 − (s_ij / c)² as a factor of ds_ij.
// WINDOWED: only queries less than WINDOW positions behind the key see it.
//
// One lane serves KEYS keys of one KV head; the keys of a workgroup are neighbours and walk the same
// queries together, so that with QUADS each lane loads a quarter of a query (see attention.wgsl).
// seen[j] = {first, end, key's position, query's position}: key row j is seen by the query rows
// [first, end), the firsts ascending; query row i stands at seen[i].w. Keys that most queries see, those
// of a shared prefix, have their queries cut: part p of cut.parts writes sums of its own to rows [p · n, (p + 1) · n) of dK and dV, which attention-backward.reduce.wgsl adds in a fixed
// order. cut.place: 1 where the keys' own rows of dK and dV are written.
// Source: Dao et al. 2022, "FlashAttention", appendix B.
@group(0) @binding(0) var<uniform> span: vec4<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dO: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;
// One table, because adapters may bind no more than eight storage buffers.
@group(0) @binding(6) var<storage, read> seen: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read_write> dK: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> dV: array<vec4<f32>>;
@group(0) @binding(9) var<uniform> cut: Cut;

// 16 bytes.
struct Cut { parts: u32, place: u32, unused_a: u32, unused_b: u32 }

const D4 = PARTS * WIDTH;

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
  let kvHead = block % KV_HEADS;
  let size = WORKGROUP * KEYS;
  //#if QUADS
  let quadLane = subgroupLane & 3u;
  // 1, which a compiler cannot know: without a product swapped lanes would be taken for integers.
  let one = f32(min(span.y, 1u));
  //#else
  const quadLane = 0u;
  //#end
  let blocks = (span.y + size - 1u) / size;
  let part = block / KV_HEADS / blocks;
  let first = block / KV_HEADS % blocks * size;
  if (part >= cut.parts) {
    return;
  }
  let count = min(size, span.y - first);
  let start = seen[span.x + first].x;
  var end = start;
  for (var c = 0u; c < count; c++) {
    end = max(end, seen[span.x + first + c].y);
  }
  let share = (end - start + cut.parts - 1u) / cut.parts;
  let begin = start + min(part * share, end - start);
  let finish = min(begin + share, end);

  //#if ROLLED
  var loadedK: array<vec4<f32>, KEYS * D4>;
  var loadedV: array<vec4<f32>, KEYS * D4>;
  //#end
  // Keys past the end repeat the last one: they write what it writes.
  //#repeat c KEYS
  let place$c = first + min(lane + $cu * WORKGROUP, count - 1u);
  let key$c = span.x + place$c;
  //#if ROLLED
  for (var i = 0u; i < D4; i++) {
    loadedK[$c * D4 + i] = k[(key$c * KV_HEADS + kvHead) * D4 + (i ^ quadLane)];
    loadedV[$c * D4 + i] = v[(key$c * KV_HEADS + kvHead) * D4 + (i ^ quadLane)];
  }
  //#end
  let first$c = seen[key$c].x;
  let end$c = min(seen[key$c].y, finish);
  //#if WINDOWED
  let beyond$c = seen[key$c].z + WINDOW;
  //#end
  //#repeat e PARTS
  //#repeat f WIDTH
  //#if ROLLED
  let k$c_$e_$f = loadedK[$c * D4 + $e * WIDTH + $f] * SCALE_LOG2E_F;
  let v$c_$e_$f = loadedV[$c * D4 + $e * WIDTH + $f];
  //#else
  let k$c_$e_$f = k[(key$c * KV_HEADS + kvHead) * D4 + $e * WIDTH + ($fu ^ quadLane)] * SCALE_LOG2E_F;
  let v$c_$e_$f = v[(key$c * KV_HEADS + kvHead) * D4 + $e * WIDTH + ($fu ^ quadLane)];
  //#end
  var dK$c_$e_$f = vec4<f32>();
  var dV$c_$e_$f = vec4<f32>();
  //#done
  //#done
  //#done

  for (var i = begin; i < finish; i += QUERIES) {
    //#repeat r QUERIES
    let row$r = min(i + $ru, finish - 1u);
    //#if WINDOWED
    let position$r = seen[row$r].w;
    //#end
    //#repeat c KEYS
    //#if WINDOWED
    let sees$r_$c = i + $ru >= first$c && i + $ru < end$c && position$r < beyond$c;
    //#else
    let sees$r_$c = i + $ru >= first$c && i + $ru < end$c;
    //#end
    //#done
    //#done
    for (var h = kvHead * GROUP; h < (kvHead + 1u) * GROUP; h += HEADS) {
      //#repeat r QUERIES
      //#repeat h HEADS
      let at$r_$h = row$r * H + h + $h;
      let known$r_$h = stats[at$r_$h];
      //#repeat e PARTS
      //#if QUADS
      let q$r_$h_$e_0 = q[at$r_$h * D4 + $e * WIDTH + quadLane];
      let dO$r_$h_$e_0 = dO[at$r_$h * D4 + $e * WIDTH + quadLane];
      let q$r_$h_$e_1 = quadSwapX(q$r_$h_$e_0) * one;
      let dO$r_$h_$e_1 = quadSwapX(dO$r_$h_$e_0) * one;
      let q$r_$h_$e_2 = quadSwapY(q$r_$h_$e_0) * one;
      let dO$r_$h_$e_2 = quadSwapY(dO$r_$h_$e_0) * one;
      let q$r_$h_$e_3 = quadSwapDiagonal(q$r_$h_$e_0) * one;
      let dO$r_$h_$e_3 = quadSwapDiagonal(dO$r_$h_$e_0) * one;
      //#else
      //#repeat f WIDTH
      let q$r_$h_$e_$f = q[at$r_$h * D4 + $e * WIDTH + $f];
      let dO$r_$h_$e_$f = dO[at$r_$h * D4 + $e * WIDTH + $f];
      //#done
      //#end
      //#done
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
      let s$r_$h_$c = min(CAP_LOG2E_F * bend$r_$h_$c - known$r_$h.x, 1.0);
      //#else
      let s$r_$h_$c = min(dots$r_$h_$c - known$r_$h.x, 1.0);
      //#end
      let p$r_$h_$c = select(0.0, exp2(s$r_$h_$c), sees$r_$c);
      //#if CAPPED
      let ds$r_$h_$c = p$r_$h_$c * (dp$r_$h_$c - known$r_$h.y)
        * (1.0 - bend$r_$h_$c * bend$r_$h_$c);
      //#else
      let ds$r_$h_$c = p$r_$h_$c * (dp$r_$h_$c - known$r_$h.y);
      //#end
      //#repeat e PARTS
      //#repeat f WIDTH
      dV$c_$e_$f += p$r_$h_$c * dO$r_$h_$e_$f;
      dK$c_$e_$f += ds$r_$h_$c * q$r_$h_$e_$f;
      //#done
      //#done
      //#done
      //#done
      //#done
    }
  }

  //#repeat c KEYS
  var outK$c = array<vec4<f32>, D4>(
    //#repeat e PARTS
    //#repeat f WIDTH
    dK$c_$e_$f * SCALE_F,
    //#done
    //#done
  );
  var outV$c = array<vec4<f32>, D4>(
    //#repeat e PARTS
    //#repeat f WIDTH
    dV$c_$e_$f,
    //#done
    //#done
  );
  let at$c = ((cut.place * span.x + part * span.y + place$c) * KV_HEADS + kvHead) * D4;
  for (var i = 0u; i < D4; i++) {
    dK[at$c + (i ^ quadLane)] = outK$c[i];
    dV[at$c + (i ^ quadLane)] = outV$c[i];
  }
  //#done
}
