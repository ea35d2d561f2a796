// Rows of WIDTH values that a workgroup reduces: vec4 where the row's length is a multiple of four.

struct Span { start: u32, rows: u32, unused_a: u32, unused_b: u32 }

//#if VEC4
alias Value = vec4<f32>;
alias Word = vec4<u32>;
alias Truth = vec4<bool>;
// Elements of a value.
const EACH = 4u;
fn across(value: Value) -> f32 {
  return (value.x + value.y) + (value.z + value.w);
}
fn highest(value: Value) -> f32 {
  return max(max(value.x, value.y), max(value.z, value.w));
}
// Element `index` of a row lies in its value index / EACH.
fn element(value: Value, index: u32) -> f32 {
  return value[index % 4u];
}
fn with_element(value: Value, index: u32, x: f32) -> Value {
  var changed = value;
  changed[index % 4u] = x;
  return changed;
}
//#else
alias Value = f32;
alias Word = u32;
alias Truth = bool;
const EACH = 1u;
fn across(value: Value) -> f32 {
  return value;
}
fn highest(value: Value) -> f32 {
  return value;
}
fn element(value: Value, index: u32) -> f32 {
  return value;
}
fn with_element(value: Value, index: u32, x: f32) -> Value {
  return x;
}
//#end
