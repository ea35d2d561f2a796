// Grouped-query attention with streaming softmax by teams of lanes; formulas as in attention.wgsl.
// q, o [rows, H·hd]; k, v [kvRows, Hkv·hd]; lse [rows, H]. attention.team.wgsl and
// attention.team.walk.wgsl go before this text.
//
// A team serves one query and HEADS heads of one KV head; every lane of it keeps the softmax for itself.
// A turn of the loop takes KEYS keys a team, so that their loads are under way together and the sums are
// scaled once. Of SPLITS teams with the same query each has sums of its own, merged two by two at the
// end: always in the same order.
// Source: Milakov & Gimelshein 2018, "Online normalizer calculation for softmax".
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;

const LOWEST = -3.0e38f;
const LN_2 = 0.6931471805599453f;

//#if SPLIT
// [HEADS · PARTS, half the lanes] and {top, sum} of the same lanes and heads.
const HALF = WORKGROUP / 2u;
var<workgroup> handedSums: array<vec4<f32>, HEADS * PARTS * HALF>;
var<workgroup> handedScales: array<vec2<f32>, HEADS * HALF>;
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
  var top$h = LOWEST;
  var sum$h = 0.0;
  //#repeat e PARTS
  let q$h_$e = q[at + ($h * PARTS + $e) * TEAM] * SCALE_LOG2E_F;
  var o$h_$e = vec4<f32>();
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
        //#done
        //#done
        //#repeat c KEYS
        //#repeat e PARTS
        let v$c_$e = v[base$c + $e * TEAM];
        //#done
        //#done
        //#repeat h HEADS
        var raised$h = top$h;
        //#repeat c KEYS
        var products$h_$c = vec4<f32>();
        //#repeat e PARTS
        products$h_$c += q$h_$e * k$c_$e;
        //#done
        let dots$h_$c = teamSum(products$h_$c);
        //#if CAPPED
        let bent$h_$c = CAP_LOG2E_F * tanh(clamp(dots$h_$c / CAP_LOG2E_F, -15.0, 15.0));
        let s$h_$c = select(LOWEST, bent$h_$c, sees$c);
        //#else
        let s$h_$c = select(LOWEST, dots$h_$c, sees$c);
        //#end
        raised$h = max(raised$h, s$h_$c);
        //#done
        let shrink$h = exp2(top$h - raised$h);
        top$h = raised$h;
        sum$h *= shrink$h;
        //#repeat c KEYS
        // Before the first visible key the difference is 0 and its power 1: mask that too.
        let p$h_$c = select(0.0, exp2(s$h_$c - raised$h), sees$c);
        sum$h += p$h_$c;
        //#done
        //#repeat e PARTS
        o$h_$e *= shrink$h;
        //#repeat c KEYS
        o$h_$e += p$h_$c * v$c_$e;
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
      let slot = lane - lanes;
      //#repeat h HEADS
      handedScales[$h * HALF + slot] = vec2<f32>(top$h, sum$h);
      //#repeat e PARTS
      handedSums[($h * PARTS + $e) * HALF + slot] = o$h_$e;
      //#done
      //#done
    }
    workgroupBarrier();
    if (split < half) {
      //#repeat h HEADS
      let other$h = handedScales[$h * HALF + lane];
      let both$h = max(top$h, other$h.x);
      let mine$h = exp2(top$h - both$h);
      let its$h = exp2(other$h.x - both$h);
      top$h = both$h;
      sum$h = sum$h * mine$h + other$h.y * its$h;
      //#repeat e PARTS
      o$h_$e = o$h_$e * mine$h + handedSums[($h * PARTS + $e) * HALF + lane] * its$h;
      //#done
      //#done
    }
    workgroupBarrier();
  }
  //#end

  if (split == 0u) {
    //#repeat h HEADS
    let scale$h = 1.0 / sum$h;
    //#repeat e PARTS
    o[at + ($h * PARTS + $e) * TEAM] = o$h_$e * scale$h;
    //#done
    //#done
    if (part == 0u) {
      //#repeat h HEADS
      lse[row * H + head + $h] = (top$h + log2(sum$h)) * LN_2;
      //#done
    }
  }
}
