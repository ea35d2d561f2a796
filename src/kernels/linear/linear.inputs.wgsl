// Of row $r: a$r_$h = factor$h · x[row, k + 4 (h ^ q) … + 3], UNROLL values in all, where q is `quadLane`, 0 without
// QUADS. Each lane of a quad loads a quarter and gets the rest from its neighbours, in another order
// than they do: a software adapter swaps lanes for a quarter of what a broadcast costs.
//#if VECTORS
//#if QUADS
    let own$r = x[x$r + (k >> 2u) + quadLane];
    let a$r_0 = own$r * factor0;
    let a$r_1 = quadSwapX(own$r) * factor1;
    let a$r_2 = quadSwapY(own$r) * factor2;
    let a$r_3 = quadSwapDiagonal(own$r) * factor3;
//#else
//#repeat h STEPS
    let a$r_$h = x[x$r + (k >> 2u) + $hu] * factor$h;
//#done
//#end
//#else
//#repeat h STEPS
    let at$r_$h = x$r + k + 4u * ($hu ^ quadLane);
    let a$r_$h = vec4(x[at$r_$h], x[at$r_$h + 1u], x[at$r_$h + 2u], x[at$r_$h + 3u]) * factor$h;
//#done
//#end
