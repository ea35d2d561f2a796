// Adds UNROLL steps to the sums of row $r, a$r_$h times the weights w$h_$c, by dot products: SwiftShader has
// few registers to spare and writes the sums of a product with a matrix to memory before it adds them.
//#repeat g GROUPS
    acc$r_$g = acc$r_$g + vec4(
//#repeat e 4
      dot(w0_{4*$g+$e}, a$r_0) + dot(w1_{4*$g+$e}, a$r_1) + dot(w2_{4*$g+$e}, a$r_2) + dot(w3_{4*$g+$e}, a$r_3),
//#done
    );
//#done
