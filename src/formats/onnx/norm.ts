/** RMSNorm as one operator or as the primitives that PyTorch's exporter writes. */
import { assertDims } from './checks';
import { isOp, numberAttribute, unsupported } from './graph';
import type { DenseTensor } from '../decoder/model';
import type { OnnxNode } from './proto';
import {
  castViews,
  claimCasts,
  denseTensor,
  near,
  otherInput,
  scalarOperand,
  throughCasts,
  type Walk,
} from './walk';

export interface NormSite {
  weight: DenseTensor;
  output: string;
}

/** The RMSNorm of `size` values that reads `tensor`, claimed; undefined where none does. */
export function readNormOf(walk: Walk, tensor: string, size: number): NormSite | undefined {
  const { graph } = walk;
  for (const view of castViews(graph, tensor)) {
    for (const node of graph.consumers(view.name)) {
      const found = isOp(node, 'SimplifiedLayerNormalization')
        ? readFusedNorm(walk, node, 1, size)
        : readPrimitiveNorm(walk, view.name, node, size);
      if (found === undefined) continue;
      claimCasts(graph, view);
      return found;
    }
  }
  return undefined;
}

/** (Skip)SimplifiedLayerNormalization with its weight at input `weightIndex`. */
export function readFusedNorm(
  walk: Walk,
  node: OnnxNode,
  weightIndex: number,
  size: number,
): NormSite {
  const { graph } = walk;
  checkEps(walk, node, numberAttribute(node, 'epsilon', 1e-5));
  if (weightIndex === 1 && numberAttribute(node, 'axis', -1) !== -1) {
    throw unsupported(node, 'it does not normalise the last axis');
  }
  graph.claim(node);
  return finish(walk, node, node.inputs[weightIndex] ?? '', node.outputs[0] ?? '', size);
}

function finish(
  walk: Walk,
  node: OnnxNode,
  weight: string,
  output: string,
  size: number,
): NormSite {
  const { graph } = walk;
  const sum = graph.producer(weight);
  const addend = sum && isOp(sum, 'Add') ? scalarOperand(graph, sum) : undefined;
  if (sum && addend) graph.claim(sum);
  const [holder, name] = sum && addend ? [sum, addend.other] : [node, weight];
  const data = graph.weight(holder, holder.inputs.indexOf(name), 'weight');
  assertDims(node, data, [size]);
  const offset = addend ? { offset: addend.value } : {};
  return {
    weight: { ...denseTensor(node, data), ...offset },
    output: throughCasts(graph, output),
  };
}

function checkEps({ config }: Walk, node: OnnxNode, eps: number): void {
  // The file has a float32 of what config.json has in decimal, or a float16: half its least step.
  const difference = Math.abs(eps - config.normEps);
  if (difference > 1e-6 * config.normEps && difference > 2 ** -25) {
    throw unsupported(node, `its epsilon ${eps} is not config.json's ${config.normEps}`);
  }
}

/** x · 1/√(mean x² + ε) · weight, from the node that squares x. */
function readPrimitiveNorm(
  walk: Walk,
  x: string,
  square: OnnxNode,
  size: number,
): NormSite | undefined {
  const { graph } = walk;
  const squares = isOp(square, 'Pow')
    ? square.inputs[0] === x && graph.scalar(square.inputs[1] ?? '') === 2
    : isOp(square, 'Mul') && square.inputs[0] === x && square.inputs[1] === x;
  if (!squares) return undefined;
  const next = (node: OnnxNode, opTypes: readonly string[]): OnnxNode => {
    const [reader, ...others] = graph.consumers(node.outputs[0] ?? '');
    if (reader && others.length === 0 && opTypes.some((op) => isOp(reader, op))) return reader;
    throw unsupported(node, `${opTypes.join(' or ')} was expected behind it, as in an RMSNorm`);
  };
  const [reader] = graph.consumers(square.outputs[0] ?? '');
  if (reader === undefined || !isOp(reader, 'ReduceMean')) return undefined;
  const mean = reader;
  const axes = mean.attributes.get('axes');
  const last =
    axes?.kind === 'ints' ? axes.value.join() === '-1' : graph.scalar(mean.inputs[1] ?? '') === -1;
  if (!last) throw unsupported(mean, 'it does not average the last axis');
  const add = next(mean, ['Add']);
  const eps = scalarOperand(graph, add);
  if (eps === undefined) throw unsupported(add, 'its epsilon is no constant');
  checkEps(walk, add, eps.value);
  const root = next(add, ['Sqrt']);
  const inverse = next(root, ['Div', 'Reciprocal']);
  const steps = [square, mean, add, root, inverse];
  let scaled = inverse;
  if (!(isOp(inverse, 'Div') && inverse.inputs[0] === x)) {
    if (isOp(inverse, 'Div') && graph.scalar(inverse.inputs[0] ?? '') !== 1) {
      throw unsupported(inverse, 'it is no reciprocal');
    }
    scaled = next(inverse, ['Mul']);
    if (otherInput(scaled, inverse.outputs[0] ?? '') !== x) {
      throw unsupported(scaled, `it does not scale "${x}"`);
    }
    steps.push(scaled);
  }
  for (const step of steps) graph.claim(step);
  const normed = throughCasts(graph, scaled.outputs[0] ?? '');
  const [weigh, ...others] = graph.consumers(normed);
  if (weigh === undefined || others.length > 0 || !isOp(weigh, 'Mul')) {
    throw unsupported(scaled, 'no weight is multiplied to what it normalises');
  }
  graph.claim(weigh);
  return finish(walk, weigh, otherInput(weigh, normed), weigh.outputs[0] ?? '', size);
}

/** tanh soft cap: c · tanh(x / c) behind `tensor`, claimed; null where there is none. */
export function readSoftCap(
  { graph }: Walk,
  tensor: string,
): { cap: number | null; output: string } {
  const [divide, ...others] = graph.consumers(tensor);
  if (divide === undefined || others.length > 0 || !(isOp(divide, 'Div') || isOp(divide, 'Mul'))) {
    return { cap: null, output: tensor };
  }
  const divisor = scalarOperand(graph, divide);
  const [tanh] = graph.consumers(divide.outputs[0] ?? '');
  if (divisor === undefined || tanh === undefined || !isOp(tanh, 'Tanh')) {
    return { cap: null, output: tensor };
  }
  const cap = isOp(divide, 'Div') ? divisor.value : 1 / divisor.value;
  const [multiply] = graph.consumers(tanh.outputs[0] ?? '');
  const factor = multiply && isOp(multiply, 'Mul') ? scalarOperand(graph, multiply) : undefined;
  if (multiply === undefined || factor === undefined || !near(factor.value, cap)) {
    throw unsupported(tanh, 'its cap is not multiplied back');
  }
  for (const node of [divide, tanh, multiply]) graph.claim(node);
  return { cap, output: multiply.outputs[0] ?? '' };
}
