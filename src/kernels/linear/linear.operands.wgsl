// What a linear kernel reads and writes: y[rows, width] = x[rows, depth] · B[depth, width]. VECTORS: rows
// of x consist of whole vec4; EVEN: those of y do.
struct Span { start: u32, rows: u32 }
// x and y may be columns of wider rows: a row of x starts at row * xStride + xOffset. accumulate: 1 to
// add to what y holds; no variant of its own, because a pipeline takes long to make.
struct Shape {
  depth: u32,
  width: u32,
  xStride: u32,
  yStride: u32,
  xOffset: u32,
  yOffset: u32,
  accumulate: u32,
}
//#if VECTORS
alias Input = vec4<f32>;
//#else
alias Input = f32;
//#end
//#if EVEN
alias Output = vec4<f32>;
//#else
alias Output = f32;
//#end

@group(0) @binding(0) var<uniform> span: Span;
@group(0) @binding(1) var<uniform> shape: Shape;
@group(0) @binding(2) var<storage, read> x: array<Input>;
@group(0) @binding(3) var<storage, read_write> y: array<Output>;
//#if BIAS
@group(0) @binding(BIAS_BINDING) var<storage, read> bias: array<f32>;
//#end
//#if RESIDUAL
@group(0) @binding(RESIDUAL_BINDING) var<storage, read> residual: array<Output>;
//#end
