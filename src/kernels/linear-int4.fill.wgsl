// The part of B of linear.shared.wgsl from int4 weights; see linear-int4.wgsl for how they lie.
@group(0) @binding(4) var<storage, read> data: array<u32>;
@group(0) @binding(5) var<storage, read> scales: array<f32>;
//#if ZERO_POINTS
@group(0) @binding(ZERO_POINTS_BINDING) var<storage, read> zeroPoints: array<u32>;
//#end

// Zero point of block `index` of `blocks` of a feature: two a byte, the even block in the low nibble.
fn zeroPoint(feature: u32, index: u32, blocks: u32) -> f32 {
//#if ZERO_POINTS
  let byte = feature * ((blocks + 1u) >> 1u) + (index >> 1u);
  return f32((zeroPoints[byte >> 2u] >> ((byte & 3u) * 8u + (index & 1u) * 4u)) & 15u);
//#else
  return 8.0;
//#end
}

fn nibbles(word: u32, first: u32) -> vec4<f32> {
  return vec4<f32>((vec4(word) >> (vec4(0u, 4u, 8u, 12u) + first)) & vec4(15u));
}

fn fill(k: u32, firstColumn: u32, lane: u32, party: u32) {
//#if BACKWARD
  // A word holds eight neighbouring columns of one step: four steps a lane.
  let words = shape.width >> 3u;
  let blocks = shape.width >> 5u;
  for (var block = lane; block < COLUMNS * (SHARED_DEPTH / 4u); block += 64u) {
    let octet = block % COLUMNS;
    let steps = (block / COLUMNS) * 4u;
    let word = min((firstColumn >> 3u) + octet, words - 1u);
//#repeat j 4
    let step$j = min(k + steps + $ju, shape.depth - 1u);
    let bits$j = data[step$j * words + word];
    let scale$j = scales[step$j * blocks + (word >> 2u)];
    let zero$j = zeroPoint(step$j, word >> 2u, blocks);
    tiles[rightAt(party, steps + $ju, 2u * octet)] = (nibbles(bits$j, 0u) - zero$j) * scale$j;
    tiles[rightAt(party, steps + $ju, 2u * octet + 1u)] = (nibbles(bits$j, 16u) - zero$j) * scale$j;
//#done
  }
//#else
  // A word holds eight steps of one column: four neighbouring columns a lane. The steps of a tile
  // lie in one block of scales.
  let words = shape.depth >> 3u;
  let blocks = shape.depth >> 5u;
  for (var block = lane; block < RIGHT * (SHARED_DEPTH / 8u); block += 64u) {
    let octet = block % (SHARED_DEPTH / 8u);
    let quad = block / (SHARED_DEPTH / 8u);
//#repeat j 4
    let column$j = min(firstColumn + 4u * quad + $ju, shape.width - 1u);
    let bits$j = data[column$j * words + (k >> 3u) + octet];
    let scale$j = scales[column$j * blocks + (k >> 5u)];
    let zero$j = zeroPoint(column$j, k >> 5u, blocks);
    let low$j = (nibbles(bits$j, 0u) - zero$j) * scale$j;
    let high$j = (nibbles(bits$j, 16u) - zero$j) * scale$j;
//#done
//#repeat i 4
    tiles[rightAt(party, 8u * octet + $iu, quad)] = vec4(low0[$i], low1[$i], low2[$i], low3[$i]);
    tiles[rightAt(party, 8u * octet + 4u + $iu, quad)] = vec4(high0[$i], high1[$i], high2[$i], high3[$i]);
//#done
  }
//#end
}
