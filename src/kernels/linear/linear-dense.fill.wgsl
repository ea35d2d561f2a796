// B of linear.shared.wgsl from f32 or f16 weights, four at a fetch; see linear-dense.wgsl for how they lie.
//#if HALF
alias Weight = vec2<u32>;
//#else
//#if PACKED
alias Weight = vec4<f32>;
//#else
alias Weight = f32;
//#end
//#end
@group(0) @binding(4) var<storage, read> weight: array<Weight>;

alias Fetched = vec4<f32>;

// Four values from `at` on, of which `count` are there.
fn stored(at: u32, count: u32) -> vec4<f32> {
//#if HALF
  return vec4(unpack2x16float(weight[at >> 2u].x), unpack2x16float(weight[at >> 2u].y));
//#else
//#if PACKED
  return weight[at >> 2u];
//#else
  var values = vec4<f32>();
  for (var i = 0u; i < min(count, 4u); i++) {
    values[i] = weight[at + i];
  }
  return values;
//#end
//#end
}

fn fetch(k: u32, firstColumn: u32, at: u32) -> Fetched {
//#if ACROSS
  let column = min(firstColumn + 4u * (at % (8u * GROUPS)), shape.width - 1u);
  let step = min(k + at / (8u * GROUPS), shape.depth - 1u);
  return stored(step * shape.width + column, shape.width - column);
//#else
  let column = min(firstColumn + at / QUARTERS, shape.width - 1u);
  let step = min(k + 4u * (at % QUARTERS), shape.depth - 1u);
  return stored(column * shape.depth + step, shape.depth - step);
//#end
}

fn put(party: u32, at: u32, fetched: Fetched) {
//#if ACROSS
  let quad = at % (8u * GROUPS);
  let step = at / (8u * GROUPS);
  let turn = turnOfRight(step, quad >> 3u);
  tiles[party][LEFTS + step * GROUPS + (quad >> 3u)][(quad ^ turn) & 7u] = fetched;
//#else
  let column = at / QUARTERS;
  let quarter = at % QUARTERS;
  let quad = column >> 2u;
  let turn = turnOfRight(quarter, column & 3u);
  let eight = LEFTS + (quarter * 4u + (column & 3u)) * GROUPS + (quad >> 3u);
  tiles[party][eight][(quad ^ turn) & 7u] = fetched;
//#end
}
