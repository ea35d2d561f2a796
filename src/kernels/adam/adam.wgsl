// Adam with global-norm clipping, in place (Kingma and Ba 2015, algorithm 1; no weight decay).
//   g = gradient * min(1, max_norm / (norm + 1e-6)),  norm = sqrt(metrics[NORM_SLOT])
//   m = beta1 m + rest1 g,  v = beta2 v + rest2 g^2
//   parameter -= step_size * m / (sqrt(v / correction2) + eps)
// All [COUNT] f32. rest1 = 1 - beta1, rest2 = 1 - beta2, correction2 = 1 - beta2^t and
// step_size = lr / (1 - beta1^t) come from the CPU in f64: 1 - 0.999 in f32 is off by 1e-5.

struct Settings {
  step_size: f32,
  beta1: f32,
  beta2: f32,
  rest1: f32,
  rest2: f32,
  correction2: f32,
  eps: f32,
  max_norm: f32,
}

@group(0) @binding(0) var<storage, read_write> parameter: array<f32>;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> m: array<f32>;
@group(0) @binding(3) var<storage, read_write> v: array<f32>;
@group(0) @binding(4) var<storage, read> metrics: array<f32>;
@group(0) @binding(5) var<uniform> settings: Settings;

@compute @workgroup_size(GROUP)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.x + group.y * groups.x) * GROUP + lane;
  if (i >= COUNT) {
    return;
  }
  let clip = min(1.0, settings.max_norm / (sqrt(metrics[NORM_SLOT]) + 1e-6));
  let g = gradient[i] * clip;
  let first = settings.beta1 * m[i] + settings.rest1 * g;
  let second = settings.beta2 * v[i] + settings.rest2 * g * g;
  m[i] = first;
  v[i] = second;
  let denominator = sqrt(second / settings.correction2) + settings.eps;
  parameter[i] -= settings.step_size * first / denominator;
}
