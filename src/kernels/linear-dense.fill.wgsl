// The part of B of linear.shared.wgsl from f32 or f16 weights; see linear-dense.wgsl for how they lie.
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

fn fill(k: u32, firstColumn: u32, lane: u32, party: u32) {
//#if ACROSS
  for (var block = lane; block < RIGHT * SHARED_DEPTH; block += 64u) {
    let quad = block % RIGHT;
    let step = block / RIGHT;
    let column = min(firstColumn + 4u * quad, shape.width - 1u);
    let at = min(k + step, shape.depth - 1u) * shape.width + column;
    tiles[rightAt(party, step, quad)] = stored(at, shape.width - column);
  }
//#else
  for (var block = lane; block < RIGHT * (SHARED_DEPTH / 4u); block += 64u) {
    let steps = (block % (SHARED_DEPTH / 4u)) * 4u;
    let quad = block / (SHARED_DEPTH / 4u);
    let step = min(k + steps, shape.depth - 1u);
//#repeat j 4
    let column$j = min(firstColumn + 4u * quad + $ju, shape.width - 1u);
    let from$j = stored(column$j * shape.depth + step, shape.depth - step);
//#done
//#repeat i 4
    tiles[rightAt(party, steps + $iu, quad)] = vec4(from0[$i], from1[$i], from2[$i], from3[$i]);
//#done
  }
//#end
}
