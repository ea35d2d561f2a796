/** The gated MLP: SwiGLU or GeGLU (tanh), with the activation as one operator or as primitives. */
import { assertFeatures, assertName, assertPair, lost } from './checks';
import { type Graph, isOp, MICROSOFT, unsupported } from './graph';
import { blockInputs, isLinearOp, type LinearSite, padOutputs, readLinear } from './linear';
import type { DecoderLayer } from '../decoder/model';
import type { OnnxNode } from './proto';
import { near, otherInput, scalarOperand, type Walk } from './walk';

/** An activation in the graph: which, its nodes and what comes out. */
interface Activation {
  kind: 'silu' | 'gelu-tanh';
  nodes: OnnxNode[];
  output: string;
}

/** √(2/π) and the cube's factor of GELU's tanh approximation. */
const GELU_SCALE = 0.7978845608;
const GELU_CUBE = 0.044715;

export function readMlp(
  walk: Walk,
  input: string,
  layer: number,
): { weights: Pick<DecoderLayer, 'gate' | 'up' | 'down'>; node: OnnxNode; output: string } {
  const { graph, config } = walk;
  const sites = graph
    .consumers(input)
    .filter(isLinearOp)
    .map((node) => {
      const site = readLinear(graph, node);
      return { node, site, activation: findActivation(graph, site.output) };
    });
  const gate = sites.find(({ activation }) => activation !== undefined);
  const up = sites.find((other) => other !== gate);
  if (sites.length !== 2 || gate?.activation === undefined || up === undefined) {
    throw lost(graph, input, `the gate and up projections of layer ${layer}`);
  }
  assertName(gate.node, layer, 'gate');
  assertName(up.node, layer, 'up');
  assertFeatures(gate.node, gate.site.linear, config.ffnDim, config.dim);
  assertFeatures(up.node, up.site.linear, config.ffnDim, config.dim);
  const { kind, nodes, output } = gate.activation;
  if (kind !== config.activation) {
    throw unsupported(nodes[0]!, `config.json says ${config.activation}, not ${kind}`);
  }
  for (const node of nodes) graph.claim(node);
  const gated = product(graph, output, up.site.output);
  const down = linearAfter(graph, gated, layer, 'down');
  assertFeatures(down.node, down.linear, config.dim, config.ffnDim, true);
  // Kernels read whole blocks: more hidden values, all 0 · act(0) = 0, fill the last one.
  const width = blockInputs(down.linear);
  return {
    weights: {
      gate: padOutputs(gate.node, gate.site.linear, width),
      up: padOutputs(up.node, up.site.linear, width),
      down: { ...down.linear, inFeatures: width },
    },
    node: down.node,
    output: down.output,
  };
}

/** The one linear layer that reads `tensor`. */
export function linearAfter(
  graph: Graph,
  tensor: string,
  layer: number,
  role: string,
): LinearSite & { node: OnnxNode } {
  const [node, ...others] = graph.consumers(tensor);
  if (node === undefined || others.length > 0 || !isLinearOp(node)) {
    throw lost(graph, tensor, `the ${role} projection of layer ${layer}`);
  }
  assertName(node, layer, role);
  return { node, ...readLinear(graph, node) };
}

/** Claims the Mul of two tensors and gives its output. */
function product(graph: Graph, a: string, b: string): string {
  const node = graph.consumers(b).find((reader) => isOp(reader, 'Mul'));
  if (node === undefined) throw lost(graph, b, 'the product of a gated MLP');
  assertPair(node, a, b);
  graph.claim(node);
  return node.outputs[0] ?? '';
}

function findActivation(graph: Graph, x: string): Activation | undefined {
  for (const node of graph.consumers(x)) {
    const output = node.outputs[0] ?? '';
    if (isOp(node, 'Sigmoid')) {
      const silu = graph.consumers(output).find((reader) => isOp(reader, 'Mul'));
      if (silu === undefined) throw lost(graph, output, 'the product of a SiLU');
      assertPair(silu, x, output);
      return { kind: 'silu', nodes: [node, silu], output: silu.outputs[0] ?? '' };
    }
    if (isOp(node, 'FastGelu', MICROSOFT) && !node.inputs[1]) {
      return { kind: 'gelu-tanh', nodes: [node], output };
    }
    if (isOp(node, 'Gelu')) {
      const mode = node.attributes.get('approximate');
      if (mode?.kind !== 'string' || mode.value !== 'tanh') {
        throw unsupported(node, 'it is no tanh approximation');
      }
      return { kind: 'gelu-tanh', nodes: [node], output };
    }
  }
  return primitiveGelu(graph, x);
}

/** 0.5 · x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))) in any order of its products. */
function primitiveGelu(graph: Graph, x: string): Activation | undefined {
  const nodes: OnnxNode[] = [];
  const step = (tensor: string, ...opTypes: string[]): OnnxNode | undefined => {
    const node = graph.consumers(tensor).find((one) => opTypes.some((op) => isOp(one, op)));
    if (node) nodes.push(node);
    return node;
  };
  const cube = cubeOf(graph, x, nodes);
  const weighed = cube && step(cube, 'Mul');
  const sum = weighed && step(weighed.outputs[0] ?? '', 'Add');
  const scaled = sum && step(sum.outputs[0] ?? '', 'Mul');
  const tanh = scaled && step(scaled.outputs[0] ?? '', 'Tanh');
  const plusOne = tanh && step(tanh.outputs[0] ?? '', 'Add');
  if (!weighed || !sum || !scaled || !tanh || !plusOne) return undefined;
  const exact =
    near(scalarOperand(graph, weighed)?.value, GELU_CUBE) &&
    otherInput(sum, weighed.outputs[0] ?? '') === x &&
    near(scalarOperand(graph, scaled)?.value, GELU_SCALE) &&
    scalarOperand(graph, plusOne)?.value === 1;
  if (!exact) throw unsupported(tanh, 'it is no GELU that this app knows');
  // What is left are the factors x and ½, each alone or both in one product.
  let half = false;
  let factor = false;
  let output = plusOne.outputs[0] ?? '';
  while (!half || !factor) {
    const multiply = step(output, 'Mul');
    if (multiply === undefined) throw lost(graph, output, 'the rest of a GELU');
    const other = otherInput(multiply, output);
    const halved = graph.producer(other);
    const operand = halved && isOp(halved, 'Mul') ? scalarOperand(graph, halved) : undefined;
    if (!factor && other === x) factor = true;
    else if (!half && graph.scalar(other) === 0.5) half = true;
    else if (!half && !factor && halved && operand?.value === 0.5 && operand.other === x) {
      nodes.push(halved);
      half = factor = true;
    } else throw unsupported(multiply, 'it is no part of a GELU that this app knows');
    output = multiply.outputs[0] ?? '';
  }
  return { kind: 'gelu-tanh', nodes, output };
}

/** x³ as Pow or as two products; their nodes are added to `nodes`. */
function cubeOf(graph: Graph, x: string, nodes: OnnxNode[]): string | undefined {
  for (const node of graph.consumers(x)) {
    const output = node.outputs[0] ?? '';
    if (isOp(node, 'Pow') && graph.scalar(node.inputs[1] ?? '') === 3) {
      nodes.push(node);
      return output;
    }
    if (isOp(node, 'Mul') && node.inputs[0] === x && node.inputs[1] === x) {
      const cube = graph
        .consumers(output)
        .find((one) => isOp(one, 'Mul') && otherInput(one, output) === x);
      if (cube === undefined) continue;
      nodes.push(node, cube);
      return cube.outputs[0] ?? '';
    }
  }
  return undefined;
}
