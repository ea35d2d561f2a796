// y[rows, width] = x[rows, depth] · B[depth, width]: what the linear kernels share, up to the choice
// of columns.
//
// A workgroup makes TILE_ROWS × (LANES · COLUMNS) outputs, a lane TILE_ROWS × COLUMNS of them in
// registers, a vec4 of sums for 4 neighbouring columns. The rows are the same for the whole workgroup, so
// that the lanes of a quad can share what they load of x, whatever the subgroup size and the order
// of lanes in a subgroup. Sums are dot products: SwiftShader compiles those in two thirds of the time that
// single multiply-adds take. VECTORS: rows of x consist of whole vec4.
//#include operands

// Value `at` of x, for depths that are no multiple of UNROLL.
fn input(at: u32) -> f32 {
//#if VECTORS
  return x[at >> 2u][at & 3u];
//#else
  return x[at];
//#end
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) workgroup: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
//#if QUADS
  @builtin(subgroup_invocation_id) subgroupLane: u32,
//#end
) {
  let depth = shape.depth;
  let width = shape.width;
//#if BACKWARD
  let accumulate = shape.accumulate == 1u;
//#end
  let firstRow = workgroup.y * TILE_ROWS;
  let lastRow = span.rows - 1u;
//#if QUADS
  let quadLane = subgroupLane & 3u;
  // 1, which a compiler cannot know: without a product swapped lanes would be taken for integers.
  let one = f32(min(span.rows, 1u));
//#else
  const quadLane = 0u;
  const one = 1.0;
//#end
//#repeat r TILE_ROWS
  let start$r = (span.start + min(firstRow + $ru, lastRow)) * shape.xStride + shape.xOffset;
//#if VECTORS
  let x$r = start$r >> 2u;
//#else
  let x$r = start$r;
//#end
//#repeat g GROUPS
  var acc$r_$g = vec4<f32>();
//#done
//#done
