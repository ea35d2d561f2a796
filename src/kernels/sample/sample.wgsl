// Next token of each row by Gumbel-max: argmax over v of logits[v] + temperature * gumbel(v), the
// lowest v on ties; temperature 0 is greedy. log_prob[row] = log softmax(logits)[token], always at
// temperature 1. logits [rows, VOCABULARY]; stream, counter, token u32 [rows]; log_prob [rows].
// Noise is a hash of (seed, stream, counter, v), so that a row does not depend on its batch mates.
// gumbel = -log(E), E = -log(1 - u), u uniform in (0, 1): E is small, hence gumbel large, where u is
// near 0, and there f32 has digits to spare. Mirror in sample.reference.ts. One workgroup a row.

struct Settings { temperature: f32, seed: u32, unused_a: u32, unused_b: u32 }

//#if VEC4
const OFFSETS = vec4<u32>(0u, 1u, 2u, 3u);
fn lowest_index(value: Word) -> u32 {
  return min(min(value.x, value.y), min(value.z, value.w));
}
//#else
const OFFSETS = 0u;
fn lowest_index(value: Word) -> u32 {
  return value;
}
//#end

@group(0) @binding(0) var<storage, read> logits: array<Value>;
@group(0) @binding(1) var<storage, read> stream: array<u32>;
@group(0) @binding(2) var<storage, read> counter: array<u32>;
@group(0) @binding(3) var<storage, read_write> token: array<u32>;
@group(0) @binding(4) var<storage, read_write> log_prob: array<f32>;
@group(0) @binding(5) var<uniform> settings: Settings;
@group(0) @binding(6) var<uniform> span: Span;

// The finaliser of MurmurHash3, a bijection of 32 bits.
fn mix_word(word: u32) -> u32 {
  var h = word;
  h ^= h >> 16u;
  h *= 0x85ebca6bu;
  h ^= h >> 13u;
  h *= 0xc2b2ae35u;
  h ^= h >> 16u;
  return h;
}

fn gumbel(index: Word, key: u32) -> Value {
  var h = index * 0x9e3779b9u + key;
  h ^= h >> Word(16u);
  h *= 0x85ebca6bu;
  h ^= h >> Word(13u);
  h *= 0xc2b2ae35u;
  h ^= h >> Word(16u);
  // 24 high bits and 8 low ones, each exact in f32; below 1.
  let low = (Value(h & Word(255u)) + 0.5) * 2.3283064365386963e-10;
  let u = min(Value(h >> Word(8u)) * 5.9604644775390625e-8 + low, Value(0.99999994));
  let series = u * (1.0 + u * (0.5 + u * 0.33333334));
  let exponential = select(-log(1.0 - u), series, u < Value(0.015625));
  return -log(exponential);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let r = group.x + group.y * groups.x;
  if (r >= span.rows) {
    return;
  }
  let row = span.start + r;
  let base = row * WIDTH;
  let key = mix_word(mix_word(mix_word(settings.seed) ^ stream[row]) ^ counter[row]);

  var tops = Value(-3.4e38);
  var best = Value(-3.4e38);
  var best_index = Word(0u);
  for (var i = lane; i < WIDTH; i += LANES) {
    let logit = logits[base + i];
    let index = i * EACH + OFFSETS;
    let score = logit + settings.temperature * gumbel(index, key);
    tops = max(tops, logit);
    best_index = select(best_index, index, score > best);
    best = max(best, score);
  }
  let top = lanes_max(vec2<f32>(highest(tops), highest(best)), lane);

  var sums = Value(0.0);
  for (var i = lane; i < WIDTH; i += LANES) {
    sums += exp(logits[base + i] - top.x);
  }
  let sum = lanes_sum(vec4<f32>(across(sums), 0.0, 0.0, 0.0), lane).x;
  // The lowest index that reached the best score; indices below 2^24 are exact in f32.
  let mine = lowest_index(select(Word(VOCABULARY), best_index, best == Value(top.y)));
  let winner = u32(-lanes_max(vec2<f32>(-f32(mine), 0.0), lane).x);
  if (lane == 0u) {
    let chosen = min(winner, VOCABULARY - 1u);
    let logit = element(logits[base + chosen / EACH], chosen);
    token[row] = chosen;
    log_prob[row] = (logit - top.x) - log(sum);
  }
}
