// B of linear.shared.wgsl from int4 weights, a word of eight at a fetch; see linear-int4.wgsl for how
// they lie.
@group(0) @binding(4) var<storage, read> data: array<u32>;
@group(0) @binding(5) var<storage, read> scales: array<f32>;
//#if ZERO_POINTS
@group(0) @binding(ZERO_POINTS_BINDING) var<storage, read> zeroPoints: array<u32>;
//#end

struct Fetched { word: u32, scale: f32, zero: f32 }

// Zero point of block `index` of `blocks` of a feature: two a byte, the even block in the low nibble.
fn zeroPoint(feature: u32, index: u32, blocks: u32) -> f32 {
//#if ZERO_POINTS
  let byte = feature * ((blocks + 1u) >> 1u) + (index >> 1u);
  return f32((zeroPoints[byte >> 2u] >> ((byte & 3u) * 8u + (index & 1u) * 4u)) & 15u);
//#else
  return 8.0;
//#end
}

fn fetch(k: u32, firstColumn: u32, at: u32) -> Fetched {
//#if BACKWARD
  // A word holds eight neighbouring columns of one step.
  let words = shape.width >> 3u;
  let blocks = shape.width >> 5u;
  let word = min((firstColumn >> 3u) + at % COLUMNS, words - 1u);
  let feature = min(k + at / COLUMNS, shape.depth - 1u);
  let block = word >> 2u;
//#else
  // A word holds eight steps of one column; those of a turn lie in one block of scales.
  let words = shape.depth >> 3u;
  let blocks = shape.depth >> 5u;
  let feature = min(firstColumn + at / (SHARED_DEPTH / 8u), shape.width - 1u);
  let word = min((k >> 3u) + at % (SHARED_DEPTH / 8u), words - 1u);
  let block = word >> 2u;
//#end
  return Fetched(
    data[feature * words + word],
    scales[feature * blocks + block],
    zeroPoint(feature, block, blocks),
  );
}

fn put(party: u32, at: u32, fetched: Fetched) {
  let low = vec4(fetched.word) >> vec4(0u, 4u, 8u, 12u);
  let high = vec4(fetched.word) >> vec4(16u, 20u, 24u, 28u);
  let first = (vec4<f32>(low & vec4(15u)) - fetched.zero) * fetched.scale;
  let second = (vec4<f32>(high & vec4(15u)) - fetched.zero) * fetched.scale;
//#if BACKWARD
  let quad = 2u * (at % COLUMNS);
  let step = at / COLUMNS;
  let turn = turnOfRight(step, quad >> 3u);
  let eight = LEFTS + step * GROUPS + (quad >> 3u);
  tiles[party][eight][(quad ^ turn) & 7u] = first;
  tiles[party][eight][((quad + 1u) ^ turn) & 7u] = second;
//#else
  let column = at / (SHARED_DEPTH / 8u);
  let quarter = at % (SHARED_DEPTH / 8u) * 2u;
  let quad = column >> 2u;
  let turned = (quad ^ turnOfRight(quarter, column & 3u)) & 7u;
  let eight = LEFTS + (quarter * 4u + (column & 3u)) * GROUPS + (quad >> 3u);
  tiles[party][eight][turned] = first;
  tiles[party][eight + 4u * GROUPS][turned] = second;
//#end
}
