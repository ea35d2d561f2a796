// Linear layer with f32 or f16 weights (ARCHITECTURE.md "Only dX").
//   forward:   y[m, n]  = Σ_k x[m, k] · w[n, k]  (+ bias[n]) (+ residual[m, n])
//   backward: dx[m, k] (+)= Σ_n dy[m, n] · w[n, k]
// Both are y[rows, width] = x[rows, depth] · B[depth, width]. ACROSS: B is stored [depth, width];
// otherwise [width, depth]. PACKED: the inner dimension of B is a multiple of 4. HALF: it
// is, and B is f16, four values in two words; sums are f32 all the same.
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

//#if PACKED
fn stored(at: u32) -> vec4<f32> {
//#if HALF
  return vec4(unpack2x16float(weight[at].x), unpack2x16float(weight[at].y));
//#else
  return weight[at];
//#end
}
//#end

//#include start

//#repeat g GROUPS
  let column$g = (workgroup.x * (LANES * GROUPS) + $gu * LANES + lane) * 4u;
//#repeat e 4
  let safe{4*$g+$e} = min(column$g + $eu, width - 1u);
//#done
//#done

  let whole = depth & ~(UNROLL - 1u);
//#repeat h STEPS
  let factor$h = one;
//#done
  for (var k = 0u; k < whole; k += UNROLL) {
//#if PACKED
//#if ACROSS
//#repeat h STEPS
    let chunk$h = k + 4u * ($hu ^ quadLane);
//#repeat g GROUPS
//#repeat j 4
    let b$h_$g_$j = stored(((chunk$h + $ju) * width + safe{4*$g}) >> 2u);
//#done
//#repeat e 4
    let w$h_{4*$g+$e} = vec4(b$h_$g_0[$e], b$h_$g_1[$e], b$h_$g_2[$e], b$h_$g_3[$e]);
//#done
//#done
//#done
//#else
//#repeat c COLUMNS
//#repeat h STEPS
    let w$h_$c = stored(((safe$c * depth + k) >> 2u) + ($hu ^ quadLane));
//#done
//#done
//#end
//#else
//#repeat c COLUMNS
//#repeat h STEPS
    let w$h_$c = vec4(
//#repeat j 4
//#if ACROSS
      weight[(k + 4u * ($hu ^ quadLane) + $ju) * width + safe$c],
//#else
      weight[safe$c * depth + k + 4u * ($hu ^ quadLane) + $ju],
//#end
//#done
    );
//#done
//#done
//#end
//#repeat r TILE_ROWS
//#include inputs
//#include products
//#done
  }
//#if TAIL
  for (var k = whole; k < depth; k++) {
//#repeat c COLUMNS
//#if ACROSS
    let at$c = k * width + safe$c;
//#else
    let at$c = safe$c * depth + k;
//#end
//#if PACKED
    let w$c = stored(at$c >> 2u)[at$c & 3u];
//#else
    let w$c = weight[at$c];
//#end
//#done
//#repeat r TILE_ROWS
    let a$r = input(start$r + k);
//#repeat g GROUPS
    acc$r_$g += a$r * vec4(w{4*$g}, w{4*$g+1}, w{4*$g+2}, w{4*$g+3});
//#done
//#done
  }
//#end

//#include outputs
}
