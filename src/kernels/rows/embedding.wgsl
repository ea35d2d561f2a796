// Embedding: y[row] = SCALE * table[token[row]]. token [rows] u32, table [VOCABULARY, DIM], y [rows, DIM].
// A token outside the table reads its last row; PART: the table holds tokens [FIRST, FIRST + VOCABULARY)
// and the rows of other tokens are left alone. HALF: the table is f16, four values in two words. One invocation an element (four with VEC4).

struct Span { start: u32, rows: u32, unused_a: u32, unused_b: u32 }

//#if VEC4
alias Value = vec4<f32>;
const WIDTH = DIM / 4u;
//#else
alias Value = f32;
const WIDTH = DIM;
//#end

//#if HALF
@group(0) @binding(0) var<storage, read> table: array<vec2<u32>>;
//#else
@group(0) @binding(0) var<storage, read> table: array<Value>;
//#end
@group(0) @binding(1) var<storage, read> token: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<Value>;
@group(0) @binding(3) var<uniform> span: Span;

fn stored(at: u32) -> Value {
//#if HALF
  return vec4(unpack2x16float(table[at].x), unpack2x16float(table[at].y));
//#else
  return table[at];
//#end
}

@compute @workgroup_size(GROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * GROUP + lane;
  if (i >= span.rows * WIDTH) {
    return;
  }
  let row = span.start + i / WIDTH;
//#if PART
  // Tokens before the first wrap round and are past the end too.
  let entry = token[row] - FIRST;
  if (entry >= VOCABULARY) {
    return;
  }
//#else
  let entry = min(token[row], VOCABULARY - 1u);
//#end
  let source = entry * WIDTH + i % WIDTH;
  y[row * WIDTH + i % WIDTH] = SCALE_F * stored(source);
}
