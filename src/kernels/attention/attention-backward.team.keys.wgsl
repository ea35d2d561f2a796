// Gradient of attention with respect to keys and values by teams of lanes; formulas, `seen` and `cut`
// as in attention-backward.keys.wgsl. q, dO [rows, H·hd]; k, v, dK, dV [rows, Hkv·hd]; stats vec2
// [rows, H] = {lse · log2 e, D}. attention.team.wgsl goes before this text.
//
// A team serves KEYS keys of one KV head; the keys of a workgroup are neighbours and walk the same pairs
// of a query and one of its heads together, PAIRS a turn, so that their loads are under way together.
// SPLITS teams with the same keys share the pairs; their sums are added two by two at the end: always in
// the same order.
// Source: Dao et al. 2022, "FlashAttention", appendix B.
@group(0) @binding(0) var<uniform> span: vec4<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> dO: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> seen: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read_write> dK: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> dV: array<vec4<f32>>;
@group(0) @binding(9) var<uniform> cut: Cut;

// 16 bytes.
struct Cut { parts: u32, place: u32, unused_a: u32, unused_b: u32 }

const EACH = PARTS * TEAM;
// Keys of a workgroup.
const SIZE = TEAMS * KEYS;

//#if SPLIT
// Of one key a team: dK and dV, [PARTS, half the lanes].
const HALF = WORKGROUP / 2u;
var<workgroup> handedK: array<vec4<f32>, PARTS * HALF>;
var<workgroup> handedV: array<vec4<f32>, PARTS * HALF>;
//#end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let block = group.x + group.y * groups.x;
  let kvHead = block % KV_HEADS;
  let blocks = (span.y + SIZE - 1u) / SIZE;
  let cutPart = block / KV_HEADS / blocks;
  let first = block / KV_HEADS % blocks * SIZE;
  if (cutPart >= cut.parts) {
    return;
  }
  let count = min(SIZE, span.y - first);
  let start = seen[span.x + first].x;
  var end = start;
  for (var c = 0u; c < SIZE; c++) {
    end = max(end, seen[span.x + first + min(c, count - 1u)].y);
  }
  let share = (end - start + cut.parts - 1u) / cut.parts;
  let begin = start + min(cutPart * share, end - start);
  let finish = min(begin + share, end);

  let part = lane % TEAM;
  let team = lane / TEAM % TEAMS;
  let split = lane / (TEAM * TEAMS);
  // Keys past the end repeat the last one: they write what it writes.
  //#repeat c KEYS
  let place$c = first + min(team + $cu * TEAMS, count - 1u);
  let key$c = span.x + place$c;
  let from$c = (key$c * KV_HEADS + kvHead) * EACH + part;
  let first$c = seen[key$c].x;
  let end$c = min(seen[key$c].y, finish);
  //#if WINDOWED
  let beyond$c = seen[key$c].z + WINDOW;
  //#end
  //#repeat e PARTS
  let k$c_$e = k[from$c + $e * TEAM] * SCALE_LOG2E_F;
  let v$c_$e = v[from$c + $e * TEAM];
  var dK$c_$e = vec4<f32>();
  var dV$c_$e = vec4<f32>();
  //#done
  //#done

  let pairs = (finish - begin) * GROUP;
  for (var turn = 0u; turn < pairs; turn += PAIRS * SPLITS) {
    //#repeat r PAIRS
    let pair$r = turn + split * PAIRS + $ru;
    let known$r = pair$r < pairs;
    let row$r = begin + min(pair$r, pairs - 1u) / GROUP;
    let at$r = row$r * H + kvHead * GROUP + min(pair$r, pairs - 1u) % GROUP;
    //#if WINDOWED
    let position$r = seen[row$r].w;
    //#end
    let stats$r = stats[at$r];
    //#repeat e PARTS
    let q$r_$e = q[at$r * EACH + $e * TEAM + part];
    let dO$r_$e = dO[at$r * EACH + $e * TEAM + part];
    //#done
    //#done
    //#repeat r PAIRS
    //#repeat c KEYS
    //#if WINDOWED
    let sees$r_$c = known$r && row$r >= first$c && row$r < end$c && position$r < beyond$c;
    //#else
    let sees$r_$c = known$r && row$r >= first$c && row$r < end$c;
    //#end
    var products$r_$c = vec4<f32>();
    var gains$r_$c = vec4<f32>();
    //#repeat e PARTS
    products$r_$c += q$r_$e * k$c_$e;
    gains$r_$c += dO$r_$e * v$c_$e;
    //#done
    let dots$r_$c = teamSum(products$r_$c);
    let dp$r_$c = teamSum(gains$r_$c);
    // Clamped, because a key that the row does not see may score above its log-sum-exp.
    //#if CAPPED
    let bend$r_$c = tanh(clamp(dots$r_$c / CAP_LOG2E_F, -15.0, 15.0));
    let s$r_$c = min(CAP_LOG2E_F * bend$r_$c - stats$r.x, 1.0);
    let p$r_$c = select(0.0, exp2(s$r_$c), sees$r_$c);
    let ds$r_$c = p$r_$c * (dp$r_$c - stats$r.y) * (1.0 - bend$r_$c * bend$r_$c);
    //#else
    let s$r_$c = min(dots$r_$c - stats$r.x, 1.0);
    let p$r_$c = select(0.0, exp2(s$r_$c), sees$r_$c);
    let ds$r_$c = p$r_$c * (dp$r_$c - stats$r.y);
    //#end
    //#done
    //#done
    //#repeat r PAIRS
    //#repeat c KEYS
    //#repeat e PARTS
    dV$c_$e += p$r_$c * dO$r_$e;
    dK$c_$e += ds$r_$c * q$r_$e;
    //#done
    //#done
    //#done
  }

  //#repeat c KEYS
  //#if SPLIT
  for (var half = SPLITS / 2u; half > 0u; half /= 2u) {
    let lanes = half * TEAMS * TEAM;
    if (split >= half && split < 2u * half) {
      //#repeat e PARTS
      handedK[$e * HALF + lane - lanes] = dK$c_$e;
      handedV[$e * HALF + lane - lanes] = dV$c_$e;
      //#done
    }
    workgroupBarrier();
    if (split < half) {
      //#repeat e PARTS
      dK$c_$e += handedK[$e * HALF + lane];
      dV$c_$e += handedV[$e * HALF + lane];
      //#done
    }
    workgroupBarrier();
  }
  //#end
  if (split == 0u) {
    let to = ((cut.place * span.x + cutPart * span.y + place$c) * KV_HEADS + kvHead) * EACH + part;
    //#repeat e PARTS
    dK[to + $e * TEAM] = dK$c_$e * SCALE_F;
    dV[to + $e * TEAM] = dV$c_$e;
    //#done
  }
  //#done
}
