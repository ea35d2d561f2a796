// y[rows, width] = x[rows, depth] · B[depth, width] for graphics hardware: 8 × 8 lanes make
// (8 · TILE_ROWS) × (8 · COLUMNS) outputs, from tiles of x and B that they share, SHARED_DEPTH steps at a
// time. SPLITS such parties of a workgroup take turns of the steps and add up at the end: where outputs
// are few, the card would idle otherwise.
//
// Tiles lie step by step, four neighbouring rows (of x) or columns (of B) in a vec4. The quad is
// swapped about by `step / 4`, so that lanes that write four steps each of the same quad do not wait for
// one bank of memory.
const LEFT = 2u * TILE_ROWS;
const RIGHT = 2u * COLUMNS;
const RIGHTS = SPLITS * SHARED_DEPTH * LEFT;
var<workgroup> tiles: array<vec4<f32>, SPLITS * SHARED_DEPTH * (LEFT + RIGHT)>;

//#include operands

fn leftAt(party: u32, step: u32, quad: u32) -> u32 {
  return (party * SHARED_DEPTH + step) * LEFT + (quad ^ ((step >> 2u) & 7u));
}

fn rightAt(party: u32, step: u32, quad: u32) -> u32 {
  return RIGHTS + (party * SHARED_DEPTH + step) * RIGHT + (quad ^ ((step >> 2u) & 7u));
}

// Four steps of a row of x that starts at `row`, zero beyond the depth.
fn input(row: u32, step: u32) -> vec4<f32> {
//#if VECTORS
  return select(vec4<f32>(), x[(row + step) >> 2u], step < shape.depth);
//#else
  var values = vec4<f32>();
  for (var i = 0u; i < 4u && step + i < shape.depth; i++) {
    values[i] = x[row + step + i];
  }
  return values;
//#end
}

//#include fill

@compute @workgroup_size(64u * SPLITS)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) index: u32,
) {
  let depth = shape.depth;
  let width = shape.width;
  let firstRow = workgroup.y * (8u * TILE_ROWS);
  let firstColumn = workgroup.x * (8u * COLUMNS);
  let lastRow = span.rows - 1u;
  let lane = index & 63u;
  let party = index >> 6u;
  let across = lane & 7u;
  let down = lane >> 3u;
  let leftStart = party * SHARED_DEPTH * LEFT;
  let rightStart = RIGHTS + party * SHARED_DEPTH * RIGHT;
//#repeat r TILE_ROWS
//#repeat g GROUPS
  var acc$r_$g = vec4<f32>();
//#done
//#done
  for (var turn = 0u; turn < depth; turn += SHARED_DEPTH * SPLITS) {
    let k = turn + party * SHARED_DEPTH;
    for (var block = lane; block < LEFT * (SHARED_DEPTH / 4u); block += 64u) {
      let steps = (block % (SHARED_DEPTH / 4u)) * 4u;
      let quad = block / (SHARED_DEPTH / 4u);
//#repeat j 4
      let row$j = (span.start + min(firstRow + quad * 4u + $ju, lastRow)) * shape.xStride + shape.xOffset;
      let from$j = input(row$j, k + steps);
//#done
//#repeat i 4
      tiles[leftAt(party, steps + $iu, quad)] = vec4(from0[$i], from1[$i], from2[$i], from3[$i]);
//#done
    }
    fill(k, firstColumn, lane, party);
    workgroupBarrier();
    for (var quad = 0u; quad < SHARED_DEPTH / 4u; quad++) {
      let turned = quad & 7u;
//#repeat i 4
//#repeat s HALF_ROWS
      let a$i_$s = tiles[leftStart + (4u * quad + $iu) * LEFT + 8u * $su + (down ^ turned)];
//#done
//#repeat g GROUPS
      let b$i_$g = tiles[rightStart + (4u * quad + $iu) * RIGHT + 8u * $gu + (across ^ turned)];
//#done
//#repeat s HALF_ROWS
//#repeat e 4
//#repeat g GROUPS
      acc{4*$s+$e}_$g = fma(vec4(a$i_$s[$e]), b$i_$g, acc{4*$s+$e}_$g);
//#done
//#done
//#done
//#done
    }
    workgroupBarrier();
  }
//#if SPLIT
  // The last read of a tile is behind a barrier: their memory takes the sums of the other parties.
  let sums = lane * (TILE_ROWS * GROUPS);
  if (party > 0u) {
    let to = (party - 1u) * 64u * (TILE_ROWS * GROUPS) + sums;
//#repeat r TILE_ROWS
//#repeat g GROUPS
    tiles[to + $ru * GROUPS + $gu] = acc$r_$g;
//#done
//#done
  }
  workgroupBarrier();
  if (party > 0u) {
    return;
  }
  for (var other = 0u; other < SPLITS - 1u; other++) {
    let at = other * 64u * (TILE_ROWS * GROUPS) + sums;
//#repeat r TILE_ROWS
//#repeat g GROUPS
    acc$r_$g += tiles[at + $ru * GROUPS + $gu];
//#done
//#done
  }
//#end
//#repeat g GROUPS
  let column$g = firstColumn + 4u * (8u * $gu + across);
//#done
//#repeat s HALF_ROWS
//#repeat e 4
//#repeat g GROUPS
  write(firstRow + 4u * (8u * $su + down) + $eu, column$g, acc{4*$s+$e}_$g);
//#done
//#done
//#done
}

// Columns column … column + 3 of a row of the span.
fn write(row: u32, column: u32, made: vec4<f32>) {
  if (row >= span.rows || column >= shape.width) {
    return;
  }
  let at = (span.start + row) * shape.yStride + shape.yOffset + column;
//#if EVEN
  var sum = made;
//#if BIAS
  sum += vec4(bias[column], bias[column + 1u], bias[column + 2u], bias[column + 3u]);
//#end
//#if RESIDUAL
  sum += residual[at >> 2u];
//#end
//#if BACKWARD
  if (shape.accumulate == 1u) {
    sum += y[at >> 2u];
  }
//#end
  y[at >> 2u] = sum;
//#else
  for (var e = 0u; e < 4u && column + e < shape.width; e++) {
    var sum = made[e];
//#if BIAS
    sum += bias[column + e];
//#end
//#if RESIDUAL
    sum += residual[at + e];
//#end
//#if BACKWARD
    if (shape.accumulate == 1u) {
      sum += y[at + e];
    }
//#end
    y[at + e] = sum;
  }
//#end
}
