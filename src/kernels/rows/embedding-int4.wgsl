// Embedding from a block-quantised table: y[row] = SCALE * (nibble - zeroPoint) * scale of token[row].
// data u32 [VOCABULARY, DIM/8], nibble i of word j is element 8j + i; scales [VOCABULARY, DIM/32];
// ZERO_POINTS: u8 [VOCABULARY, ceil(DIM/32/2)], even block in the low nibble; otherwise 8. y [rows, DIM].
// A token outside the table reads its last row; PART: the table holds tokens [FIRST, FIRST + VOCABULARY)
// and the rows of other tokens are left alone. One invocation a word.

struct Span { start: u32, rows: u32, unused_a: u32, unused_b: u32 }

@group(0) @binding(0) var<uniform> span: Span;
@group(0) @binding(1) var<storage, read> data: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> token: array<u32>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
//#if ZERO_POINTS
@group(0) @binding(5) var<storage, read> zeroPoints: array<u32>;
//#end

const WORDS = DIM / 8u;
const BLOCKS = DIM / 32u;

@compute @workgroup_size(GROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * GROUP + lane;
  if (i >= span.rows * WORDS) {
    return;
  }
  let row = span.start + i / WORDS;
  let j = i % WORDS;
//#if PART
  // Tokens before the first wrap round and are past the end too.
  let entry = token[row] - FIRST;
  if (entry >= VOCABULARY) {
    return;
  }
//#else
  let entry = min(token[row], VOCABULARY - 1u);
//#end
  let block = j / 4u;
//#if ZERO_POINTS
  let byte = entry * ((BLOCKS + 1u) / 2u) + block / 2u;
  let zero = f32((zeroPoints[byte / 4u] >> ((byte % 4u) * 8u + (block % 2u) * 4u)) & 15u);
//#else
  let zero = 8.0;
//#end
  let word = data[entry * WORDS + j];
  let scale = SCALE_F * scales[entry * BLOCKS + block];
  let low = vec4<f32>((vec4<u32>(word) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u));
  let high = vec4<f32>((vec4<u32>(word) >> vec4<u32>(16u, 20u, 24u, 28u)) & vec4<u32>(15u));
  let to = (row * WORDS + j) * 2u;
  y[to] = (low - zero) * scale;
  y[to + 1u] = (high - zero) * scale;
}
