// The end of main of a linear kernel: writes acc$r_$g to y, columns column$g … column$g + 3 of group g.
// The sums go through an array, because a loop over them compiles in half the time of its unrolled
// text. EVEN: columns come in whole vec4.
  var sums = array<vec4<f32>, TILE_ROWS * GROUPS>(
//#repeat r TILE_ROWS
//#repeat g GROUPS
    acc$r_$g,
//#done
//#done
  );
  let rows = min(TILE_ROWS, span.rows - firstRow);
  for (var r = 0u; r < rows; r++) {
    let out = (span.start + firstRow + r) * shape.yStride + shape.yOffset;
    let first = r * GROUPS;
//#repeat g GROUPS
//#if EVEN
    if (column$g < width) {
      let at$g = (out + column$g) >> 2u;
      var sum$g = sums[first + $gu];
//#if BIAS
      sum$g += vec4(bias[column$g], bias[column$g + 1u], bias[column$g + 2u], bias[column$g + 3u]);
//#end
//#if RESIDUAL
      sum$g += residual[at$g];
//#end
//#if BACKWARD
      if (accumulate) {
        sum$g += y[at$g];
      }
//#end
      y[at$g] = sum$g;
    }
//#else
    for (var e = 0u; e < 4u && column$g + e < width; e++) {
      let at = out + column$g + e;
      var sum = sums[first + $gu][e];
//#if BIAS
      sum += bias[column$g + e];
//#end
//#if RESIDUAL
      sum += residual[at];
//#end
//#if BACKWARD
      if (accumulate) {
        sum += y[at];
      }
//#end
      y[at] = sum;
    }
//#end
//#done
  }
