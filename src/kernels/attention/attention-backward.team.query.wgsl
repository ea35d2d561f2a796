// Gradient of attention with respect to the queries by teams of lanes; formulas as in
// attention-backward.query.wgsl, what a team and a workgroup do as in attention.team.forward.wgsl.
// q, dO, dQ [rows, H·hd]; k, v [kvRows, Hkv·hd]; stats vec2 [rows, H] = {lse · log2 e, D}.
// attention.team.wgsl and attention.team.walk.wgsl go before this text.
// Source: Dao et al. 2022, "FlashAttention", appendix B.
@group(0) @binding(6) var<storage, read> dO: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(8) var<storage, read_write> dQ: array<vec4<f32>>;

//#if SPLIT
const HALF = WORKGROUP / 2u;
var<workgroup> handed: array<vec4<f32>, HEADS * PARTS * HALF>;
//#end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = group.x + group.y * groups.x;
  let first = block / SLICES * TEAMS;
  if (first >= span.y) {
    return;
  }
  let begin = span.x + first;
  let count = min(TEAMS, span.y - first);
  let head = block % SLICES * HEADS;
  let part = lane % TEAM;
  let split = lane / (TEAM * TEAMS);
  // Rows past the end repeat the last one: they write what it writes.
  let place = min(lane / TEAM % TEAMS, count - 1u);
  let row = begin + place;
  let at = (row * H + head) * (PARTS * TEAM) + part;
  let kvOffset = head / GROUP * (PARTS * TEAM) + part;

  //#repeat h HEADS
  let stats$h = stats[row * H + head + $h];
  //#repeat e PARTS
  let q$h_$e = q[at + ($h * PARTS + $e) * TEAM] * SCALE_LOG2E_F;
  let dO$h_$e = dO[at + ($h * PARTS + $e) * TEAM];
  var dQ$h_$e = vec4<f32>();
  //#done
  //#done

  for (var kind = 0u; kind < 3u; kind++) {
    let own = rangeOf(kind, row).y;
    //#if WINDOWED
    let low = lowOf(kind, row);
    //#end
    var walked = 0u;
    while (walked < count) {
      let run = runFrom(kind, begin, walked, count);
      let end = select(0u, own, place >= walked && place < run.z);
      walked = run.z;

      for (var turn = run.x; turn < run.y; turn += KEYS * SPLITS) {
        let j = turn + split * KEYS;
        //#repeat c KEYS
        let base$c = min(j + $cu, run.y - 1u) * KV_D4 + kvOffset;
        //#if WINDOWED
        let sees$c = j + $cu < end && j + $cu >= low;
        //#else
        let sees$c = j + $cu < end;
        //#end
        //#repeat e PARTS
        let k$c_$e = k[base$c + $e * TEAM];
        let v$c_$e = v[base$c + $e * TEAM];
        //#done
        //#done
        //#repeat h HEADS
        //#repeat c KEYS
        var products$h_$c = vec4<f32>();
        var gains$h_$c = vec4<f32>();
        //#repeat e PARTS
        products$h_$c += q$h_$e * k$c_$e;
        gains$h_$c += dO$h_$e * v$c_$e;
        //#done
        let dots$h_$c = teamSum(products$h_$c);
        let dp$h_$c = teamSum(gains$h_$c);
        // Clamped, because a key that the row does not see may score above its log-sum-exp.
        //#if CAPPED
        let bend$h_$c = tanh(clamp(dots$h_$c / CAP_LOG2E_F, -15.0, 15.0));
        let s$h_$c = min(CAP_LOG2E_F * bend$h_$c - stats$h.x, 1.0);
        let p$h_$c = select(0.0, exp2(s$h_$c), sees$c);
        let ds$h_$c = p$h_$c * (dp$h_$c - stats$h.y) * (1.0 - bend$h_$c * bend$h_$c);
        //#else
        let s$h_$c = min(dots$h_$c - stats$h.x, 1.0);
        let p$h_$c = select(0.0, exp2(s$h_$c), sees$c);
        let ds$h_$c = p$h_$c * (dp$h_$c - stats$h.y);
        //#end
        //#repeat e PARTS
        dQ$h_$e += ds$h_$c * k$c_$e;
        //#done
        //#done
        //#done
      }
    }
  }

  //#if SPLIT
  for (var half = SPLITS / 2u; half > 0u; half /= 2u) {
    let lanes = half * TEAMS * TEAM;
    if (split >= half && split < 2u * half) {
      //#repeat h HEADS
      //#repeat e PARTS
      handed[($h * PARTS + $e) * HALF + lane - lanes] = dQ$h_$e;
      //#done
      //#done
    }
    workgroupBarrier();
    if (split < half) {
      //#repeat h HEADS
      //#repeat e PARTS
      dQ$h_$e += handed[($h * PARTS + $e) * HALF + lane];
      //#done
      //#done
    }
    workgroupBarrier();
  }
  //#end

  if (split == 0u) {
    //#repeat h HEADS
    //#repeat e PARTS
    dQ[at + ($h * PARTS + $e) * TEAM] = dQ$h_$e * SCALE_F;
    //#done
    //#done
  }
}
