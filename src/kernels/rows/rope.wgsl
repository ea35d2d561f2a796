// Rotary position embedding, rotate-half form, on rows of H heads of size hd:
//   y[d] = x[d] cos[t, d] − x[d + hd/2] sin[t, d]          d < hd/2, t = positions[row]
//   y[d + hd/2] = x[d + hd/2] cos[t, d] + x[d] sin[t, d]
// and its inverse, which is its transpose: sin with the other sign. x, y [rows, H·hd];
// cos, sin [maxPos, hd/2] as they stand in the model file. One thread turns four pairs.
// IN_PLACE: y is x. SCATTER: row i of x goes to row destination[i] of y.
// Source: Su et al. 2021, "RoFormer", in the layout of GPT-NeoX and Llama.
@group(0) @binding(0) var<uniform> span: vec4<u32>;
// {heads, sign of sin: 0 forward, 1 inverse, 0, 0}
@group(0) @binding(1) var<uniform> form: vec4<u32>;
@group(0) @binding(2) var<storage, read> cosines: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> sines: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
//#if !IN_PLACE
@group(0) @binding(6) var<storage, read> x: array<vec4<f32>>;
//#end
//#if SCATTER
@group(0) @binding(7) var<storage, read> destination: array<u32>;
//#end

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let thread = (group.x + group.y * groups.x) * WORKGROUP + lane;
  let perRow = form.x * HALF4;
  if (thread >= span.y * perRow) {
    return;
  }
  let row = span.x + thread / perRow;
  let head = thread % perRow / HALF4;
  let d = thread % HALF4;
  let turn = positions[row] * HALF4 + d;
  let c = cosines[turn];
  let s = sines[turn] * select(1.0, -1.0, form.y == 1u);
  let inner = head * 2u * HALF4 + d;
  let input = row * form.x * 2u * HALF4 + inner;
  //#if IN_PLACE
  let low = y[input];
  let high = y[input + HALF4];
  //#else
  let low = x[input];
  let high = x[input + HALF4];
  //#end
  //#if SCATTER
  let output = destination[row] * form.x * 2u * HALF4 + inner;
  //#else
  let output = input;
  //#end
  y[output] = low * c - high * s;
  y[output + HALF4] = high * c + low * s;
}
