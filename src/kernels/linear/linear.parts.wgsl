// Adds up the parts of linear.shared.wgsl, always in the same order: y (+)= Σ x[part].
// y [rows, width], x [parts][as y], both in vec4. One thread a vec4.
//#include operands

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let quad = group.x * 64u + lane;
  if (quad * 4u >= shape.width) {
    return;
  }
  let at = (span.start + group.y) * (shape.width >> 2u) + quad;
  let size = arrayLength(&y);
  var sum = vec4<f32>();
  for (var i = at; i < arrayLength(&x); i += size) {
    sum += x[i];
  }
  if (shape.accumulate == 1u) {
    sum += y[at];
  }
  y[at] = sum;
}
