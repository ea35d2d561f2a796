// Grouped-query attention with streaming softmax.
//   s_ij = SCALE · q_i·k_j, with CAPPED c tanh(s_ij / c)   p_i = softmax over the keys that i sees   o_i = Σ_j p_ij v_j
//   lse_i = log Σ_j exp s_ij
// q, o [rows, H·hd]; k, v [kvRows, Hkv·hd]; lse [rows, H]. attention.walk.wgsl goes before this text
// and says which keys a query sees.
//
// One lane serves ROWS queries and HEADS heads of one KV head, so that a loaded key serves
// ROWS·HEADS products: loads are what this kernel waits for. SHARED: the rows of a workgroup are one
// block, so its lanes load the same keys at the same time, with QUADS a quarter each: vec4 f of a lane
// is vec4 f ^ quadLane of the row, because a software adapter swaps lanes for less than it broadcasts.
// Without
// SHARED a row is a block of its own.
// KEYS keys go through one turn of the loop, because a software adapter pays for every variable that
// a loop carries. The softmax runs on base 2: q is scaled by SCALE·log2 e once.
// WINDOWED: a query sees only keys less than WINDOW positions before it.
// Source: Milakov & Gimelshein 2018, "Online normalizer calculation for softmax".
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;

const EACH = HEADS * PARTS * WIDTH;
const LOWEST = -3.0e38f;
const LN_2 = 0.6931471805599453f;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
  //#if QUADS
  @builtin(subgroup_invocation_id) subgroupLane: u32,
  //#end
) {
  //#if SHARED
  let block = group.x + group.y * groups.x;
  let size = WORKGROUP * ROWS;
  //#else
  let block = (group.x + group.y * groups.x) * WORKGROUP + lane;
  let size = 1u;
  //#end
  let first = block / SLICES * size;
  if (first >= span.y) {
    return;
  }
  let begin = span.x + first;
  let count = min(size, span.y - first);
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
  // Loads in a loop compile faster; the array itself costs a graphics card its registers.
  var loaded: array<vec4<f32>, ROWS * EACH>;
  //#end
  // Rows past the end repeat the last one: they write what it writes.
  //#repeat r ROWS
  //#if SHARED
  let place$r = min(lane + $ru * WORKGROUP, count - 1u);
  //#else
  let place$r = 0u;
  //#end
  let at$r = ((begin + place$r) * H + head) * (PARTS * WIDTH);
  //#if ROLLED
  for (var i = 0u; i < EACH; i++) {
    loaded[$r * EACH + i] = q[at$r + (i ^ quadLane)];
  }
  //#end
  //#repeat h HEADS
  var top$r_$h = LOWEST;
  var sum$r_$h = 0.0;
  //#repeat e PARTS
  //#repeat f WIDTH
  //#if ROLLED
  let q$r_$h_$e_$f = loaded[(($r * HEADS + $h) * PARTS + $e) * WIDTH + $f] * SCALE_LOG2E_F;
  //#else
  let q$r_$h_$e_$f = q[at$r + ($h * PARTS + $e) * WIDTH + ($fu ^ quadLane)] * SCALE_LOG2E_F;
  //#end
  var o$r_$h_$e_$f = vec4<f32>();
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
        //#repeat c KEYS
        //#if WINDOWED
        let sees$r_$c = j + $cu < end$r && j + $cu >= low$r;
        //#else
        let sees$r_$c = j + $cu < end$r;
        //#end
        //#done
        //#repeat h HEADS
        var raised$r_$h = top$r_$h;
        //#repeat c KEYS
        var dots$r_$h_$c = 0.0;
        //#repeat e PARTS
        //#repeat f WIDTH
        dots$r_$h_$c += dot(q$r_$h_$e_$f, k$c_$e_$f);
        //#done
        //#done
        //#if CAPPED
        let bent$r_$h_$c = CAP_LOG2E_F * tanh(clamp(dots$r_$h_$c / CAP_LOG2E_F, -15.0, 15.0));
        let s$r_$h_$c = select(LOWEST, bent$r_$h_$c, sees$r_$c);
        //#else
        let s$r_$h_$c = select(LOWEST, dots$r_$h_$c, sees$r_$c);
        //#end
        raised$r_$h = max(raised$r_$h, s$r_$h_$c);
        //#done
        let shrink$r_$h = exp2(top$r_$h - raised$r_$h);
        top$r_$h = raised$r_$h;
        sum$r_$h *= shrink$r_$h;
        //#repeat c KEYS
        // Before the first visible key the difference is 0 and its power 1: mask that too.
        let p$r_$h_$c = select(0.0, exp2(s$r_$h_$c - raised$r_$h), sees$r_$c);
        sum$r_$h += p$r_$h_$c;
        //#done
        //#repeat e PARTS
        //#repeat f WIDTH
        o$r_$h_$e_$f *= shrink$r_$h;
        //#repeat c KEYS
        o$r_$h_$e_$f += p$r_$h_$c * v$c_$e_$f;
        //#done
        //#done
        //#done
        //#done
        //#done
      }
    }
  }

  //#repeat r ROWS
  //#repeat h HEADS
  let scale$r_$h = 1.0 / sum$r_$h;
  lse[(begin + place$r) * H + head + $h] = (top$r_$h + log2(sum$r_$h)) * LN_2;
  //#done
  var out$r = array<vec4<f32>, EACH>(
    //#repeat h HEADS
    //#repeat e PARTS
    //#repeat f WIDTH
    o$r_$h_$e_$f * scale$r_$h,
    //#done
    //#done
    //#done
  );
  for (var i = 0u; i < EACH; i++) {
    o[at$r + (i ^ quadLane)] = out$r[i];
  }
  //#done
}
