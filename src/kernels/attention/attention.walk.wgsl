// What forward and dQ share: who sees which keys, and the walk over them.
//
// Query row i sees pool rows [0, prefixEnd) ∪ [a0, a1) ∪ [b0, self + 1), disjoint, where
// keys[i] = {prefixEnd, a0, a1, b0} and self = selfRow[i]. The rows of a block walk together: for
// each kind of range (0 prefix, 1 a, 2 b) they fall into runs of rows whose range starts at the
// same key, and a run is walked once, up to the last end in it.
@group(0) @binding(0) var<uniform> span: vec4<u32>;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> keys: array<u32>;
@group(0) @binding(5) var<storage, read> selfRow: array<u32>;

// One component a load, not the vec4: loads are dear on a software adapter.
fn startOf(kind: u32, row: u32) -> u32 {
  return select(keys[4u * row + 2u * max(kind, 1u) - 1u], 0u, kind == 0u);
}

fn endOf(kind: u32, row: u32) -> u32 {
  return select(keys[4u * row + 2u * min(kind, 1u)], selfRow[row] + 1u, kind == 2u);
}

//#if WINDOWED
// First row of a range that lies less than WINDOW positions before the query. Positions count on
// from the prefix through a to b.
fn lowOf(kind: u32, row: u32) -> u32 {
  let start = startOf(kind, row);
  let prefix = keys[4u * row];
  let between = keys[4u * row + 2u] - keys[4u * row + 1u];
  let own = prefix + between + selfRow[row] - keys[4u * row + 3u];
  let oldest = select(0u, own + 1u - WINDOW, own + 1u > WINDOW);
  let first = select(0u, prefix, kind > 0u) + select(0u, between, kind == 2u);
  return start + select(0u, oldest - first, oldest > first);
}
//#end
