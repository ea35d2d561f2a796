// Sums and maxima over the LANES invocations of one workgroup; every invocation gets the result.
// LANES is a power of two, at least 4. The order of the additions is fixed, so results repeat.
// With subgroups: one slot per four invocations (no subgroup is smaller), zero unless its first
// invocation is the first of its subgroup. Nothing assumes a subgroup size.
// Call from workgroup-uniform control flow only.

//#if SUBGROUPS
//#if ONE_SUBGROUP
// Four invocations always share a subgroup: no workgroup memory, no barrier.
fn lanes_sum(value: vec4<f32>, lane: u32) -> vec4<f32> {
  return subgroupAdd(value);
}
fn lanes_max(value: vec2<f32>, lane: u32) -> vec2<f32> {
  return subgroupMax(value);
}
//#else
var<workgroup> lane_slots: array<vec4<f32>, LANES / 4u>;

fn lanes_sum(value: vec4<f32>, lane: u32) -> vec4<f32> {
  let part = subgroupAdd(value);
  let first = subgroupMin(lane);
  if ((lane & 3u) == 0u) {
    lane_slots[lane >> 2u] = select(vec4<f32>(0.0), part, lane == first);
  }
  workgroupBarrier();
  var total = lane_slots[0];
  for (var i = 1u; i < LANES / 4u; i++) {
    total += lane_slots[i];
  }
  workgroupBarrier();
  return total;
}

fn lanes_max(value: vec2<f32>, lane: u32) -> vec2<f32> {
  let part = subgroupMax(value);
  if ((lane & 3u) == 0u) {
    lane_slots[lane >> 2u] = vec4<f32>(part, 0.0, 0.0);
  }
  workgroupBarrier();
  var highest = lane_slots[0].xy;
  for (var i = 1u; i < LANES / 4u; i++) {
    highest = max(highest, lane_slots[i].xy);
  }
  workgroupBarrier();
  return highest;
}
//#end
//#else
var<workgroup> lane_slots: array<vec4<f32>, LANES>;

fn lanes_sum(value: vec4<f32>, lane: u32) -> vec4<f32> {
  lane_slots[lane] = value;
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      lane_slots[lane] += lane_slots[lane + half];
    }
    workgroupBarrier();
  }
  let total = lane_slots[0];
  workgroupBarrier();
  return total;
}

fn lanes_max(value: vec2<f32>, lane: u32) -> vec2<f32> {
  lane_slots[lane] = vec4<f32>(value, 0.0, 0.0);
  workgroupBarrier();
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    if (lane < half) {
      lane_slots[lane] = max(lane_slots[lane], lane_slots[lane + half]);
    }
    workgroupBarrier();
  }
  let highest = lane_slots[0].xy;
  workgroupBarrier();
  return highest;
}
//#end
