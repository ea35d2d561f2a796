// What forward and dQ of teams share: who sees which keys, and the walk over them.
//
// Query row i sees pool rows [0, prefixEnd) ∪ [a0, a1) ∪ [b0, self + 1), disjoint, where
// keys[i] = {prefixEnd, a0, a1, b0} and self = selfRow[i]. A workgroup serves TEAMS rows, each with
// SPLITS teams that share its keys. The rows walk together, because lanes may be swapped only where all
// are: for each kind of range (0 prefix, 1 a, 2 b) they fall into runs of rows whose range starts at
// the same key, and a run is walked once, up to the last end in it.
@group(0) @binding(0) var<uniform> span: vec4<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(5) var<storage, read> selfRow: array<u32>;

// {first key, end}
fn rangeOf(kind: u32, row: u32) -> vec2<u32> {
  let ends = keys[row];
  let own = select(vec2<u32>(ends.w, selfRow[row] + 1u), ends.yz, kind == 1u);
  return select(own, vec2<u32>(0u, ends.x), kind == 0u);
}

// The run that begins with row `at` of `count`: {first key, last end, row behind the run}.
fn runFrom(kind: u32, begin: u32, at: u32, count: u32) -> vec3<u32> {
  let first = rangeOf(kind, begin + at);
  // As a rule all the rows that are left: these loads need not wait for each other.
  var end = first.y;
  var alike = true;
  for (var r = 1u; r < TEAMS; r++) {
    let other = rangeOf(kind, begin + min(at + r, count - 1u));
    end = max(end, other.y);
    alike = alike && other.x == first.x;
  }
  if (alike) {
    return vec3<u32>(first.x, end, count);
  }
  end = first.y;
  var next = at + 1u;
  while (next < count) {
    let other = rangeOf(kind, begin + next);
    if (other.x != first.x) {
      break;
    }
    end = max(end, other.y);
    next++;
  }
  return vec3<u32>(first.x, end, next);
}

//#if WINDOWED
// First row of a range that lies less than WINDOW positions before the query.
fn lowOf(kind: u32, row: u32) -> u32 {
  let ends = keys[row];
  let between = ends.z - ends.y;
  let own = ends.x + between + selfRow[row] - ends.w;
  let oldest = select(0u, own + 1u - WINDOW, own + 1u > WINDOW);
  let first = select(0u, ends.x, kind > 0u) + select(0u, between, kind == 2u);
  return rangeOf(kind, row).x + select(0u, oldest - first, oldest > first);
}
//#end
