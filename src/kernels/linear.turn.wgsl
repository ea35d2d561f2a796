// m$h_$g: the weights w$h_$c of group g as a matrix, one column of it for each step of the reduction.
// One product with a matrix makes a quarter of the instructions that a compiler has to look at.
//#repeat h STEPS
//#repeat g GROUPS
    let m$h_$g = mat4x4<f32>(
//#repeat j 4
      vec4(w$h_{4*$g}[$j], w$h_{4*$g+1}[$j], w$h_{4*$g+2}[$j], w$h_{4*$g+3}[$j]),
//#done
    );
//#done
//#done
