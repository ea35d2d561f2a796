// y[rows, width] = x[rows, depth] · B[depth, width] for graphics hardware: 8 × 8 lanes make
// (8 · TILE_ROWS) × (8 · COLUMNS) outputs, from tiles of x and B that they share, SHARED_DEPTH steps at a
// time. SPLITS such parties of a workgroup take turns of the steps and add up at the end: where outputs
// are few, the card would idle otherwise. What the next turn needs is fetched into registers while this
// one multiplies. Where one workgroup an output leaves the card idle all the same, several along z, its
// parts, each take a share of the steps and write sums of their own, y [parts][as y would be], which
// linear.parts.wgsl adds up.
//
// Tiles lie in eights of vec4, one for each lane across or down, so that lanes that read together read
// neighbours: x by four steps and row, [QUARTERS][TILE_ROWS][8] vec4 of four steps; B after it, [SHARED_DEPTH][GROUPS][8]:
// with BY_STEP by step, vec4 of four columns, else by four steps and place in the vec4 of columns, vec4 of
// four steps. All indices but those of the lane are constants, so that no bound is checked in the loop.
// Neighbouring lanes fetch neighbouring memory, which lies in several eights; the eights are turned, so
// that such lanes do not wait for one bank when they write there.
const LEFTS = QUARTERS * TILE_ROWS;
const EIGHTS = LEFTS + SHARED_DEPTH * GROUPS;
const STRIDE = SHARED_DEPTH * SPLITS;
var<workgroup> tiles: array<array<array<vec4<f32>, 8>, EIGHTS>, SPLITS>;

//#include operands

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

// Turn of the eights of x, and of B: of a step and group of columns, or of four steps and place in the vec4.
fn turnOfLeft(quarter: u32) -> u32 {
  return quarter * (8u / QUARTERS);
}

fn turnOfRight(major: u32, minor: u32) -> u32 {
//#if BY_STEP
  return select(minor, major, GROUPS == 1u) & 1u;
//#else
  // Lanes that fetch one column, and columns that eight lanes fetch.
  const LANES = SHARED_DEPTH / FETCHED;
  const FETCHING = 8u / LANES;
  let turn = select(minor % FETCHING, 2u * minor, LANES == 1u);
  return (major * 4u / FETCHED * FETCHING + turn) & 7u;
//#end
}

// alias Fetched; fetch(k, firstColumn, at) -> Fetched: fetch number `at` of the turn from step k on;
// put(party, at, fetched): its place in the tile.
//#include fill

@compute @workgroup_size(64u * SPLITS)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) index: u32,
) {
  let share = (shape.depth + STRIDE * groups.z - 1u) / (STRIDE * groups.z) * STRIDE;
  let begin = workgroup.z * share;
  let end = min(begin + share, shape.depth);
  let firstRow = workgroup.y * (8u * TILE_ROWS);
  let firstColumn = workgroup.x * (8u * COLUMNS);
  let lastRow = span.rows - 1u;
  let lane = index & 63u;
  let party = index >> 6u;
  let across = lane & 7u;
  let down = lane >> 3u;
  var k = begin + party * SHARED_DEPTH;
//#repeat i LEFT_FETCHES
  let quarter$i = (lane + {64*$i}u) % QUARTERS;
  let place$i = (lane + {64*$i}u) / QUARTERS;
  let row$i = (span.start + min(firstRow + place$i, lastRow)) * shape.xStride + shape.xOffset;
  var left$i = input(row$i, k + 4u * quarter$i);
//#done
//#repeat i RIGHT_FETCHES
  var right$i = fetch(k, firstColumn, lane + {64*$i}u);
//#done
//#repeat r TILE_ROWS
//#repeat g GROUPS
  var acc$r_$g = vec4<f32>();
//#done
//#done
  for (var turn = begin; turn < end; turn += STRIDE) {
//#repeat i LEFT_FETCHES
    tiles[party][quarter$i * TILE_ROWS + (place$i >> 3u)][(place$i ^ turnOfLeft(quarter$i)) & 7u] = left$i;
//#done
//#repeat i RIGHT_FETCHES
    put(party, lane + {64*$i}u, right$i);
//#done
    workgroupBarrier();
    k += STRIDE;
    if (turn + STRIDE < end) {
//#repeat i LEFT_FETCHES
      left$i = input(row$i, k + 4u * quarter$i);
//#done
//#repeat i RIGHT_FETCHES
      right$i = fetch(k, firstColumn, lane + {64*$i}u);
//#done
    }
//#repeat q QUARTERS
//#repeat r TILE_ROWS
    let a$q_$r = tiles[party][$qu * TILE_ROWS + $ru][down ^ turnOfLeft($qu)];
//#done
//#repeat g GROUPS
//#if BY_STEP
//#repeat i 4
    let b$q_$g_$i = tiles[party][LEFTS + {4*$q+$i}u * GROUPS + $gu][across ^ turnOfRight({4*$q+$i}u, $gu)];
//#done
//#else
//#repeat e 4
    let c$q_$g_$e = tiles[party][LEFTS + {4*$q+$e}u * GROUPS + $gu][across ^ turnOfRight($qu, $eu)];
//#done
//#repeat i 4
    let b$q_$g_$i = vec4(c$q_$g_0[$i], c$q_$g_1[$i], c$q_$g_2[$i], c$q_$g_3[$i]);
//#done
//#end
//#done
//#repeat i 4
//#repeat r TILE_ROWS
//#repeat g GROUPS
    acc$r_$g = fma(vec4(a$q_$r[$i]), b$q_$g_$i, acc$r_$g);
//#done
//#done
//#done
//#done
    workgroupBarrier();
  }
//#if SPLIT
  // The last read of a tile is behind a barrier: its memory takes the sums of one other party at a time.
  let sums = (lane >> 3u) * (TILE_ROWS * GROUPS);
  for (var other = 1u; other < SPLITS; other++) {
    if (party == other) {
//#repeat r TILE_ROWS
//#repeat g GROUPS
      tiles[(sums + $ru * GROUPS + $gu) / EIGHTS][(sums + $ru * GROUPS + $gu) % EIGHTS][lane & 7u] = acc$r_$g;
//#done
//#done
    }
    workgroupBarrier();
    if (party == 0u) {
//#repeat r TILE_ROWS
//#repeat g GROUPS
      acc$r_$g += tiles[(sums + $ru * GROUPS + $gu) / EIGHTS][(sums + $ru * GROUPS + $gu) % EIGHTS][lane & 7u];
//#done
//#done
    }
    workgroupBarrier();
  }
  if (party > 0u) {
    return;
  }
//#end
//#repeat g GROUPS
  let column$g = firstColumn + 4u * (8u * $gu + across);
//#done
//#repeat r TILE_ROWS
//#repeat g GROUPS
  write(firstRow + 8u * $ru + down, column$g, acc$r_$g, workgroup.z, groups.z);
//#done
//#done
}

// Columns column … column + 3 of a row of the span.
fn write(row: u32, column: u32, made: vec4<f32>, part: u32, parts: u32) {
  if (row >= span.rows || column >= shape.width) {
    return;
  }
  let at = (span.start + row) * shape.yStride + shape.yOffset + column;
//#if EVEN
//#if BACKWARD
  if (parts > 1u) {
    y[part * (arrayLength(&y) / parts) + (at >> 2u)] = made;
    return;
  }
//#end
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
