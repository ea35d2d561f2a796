/**
 * Maps a 4-bit decoder graph to the roles of its weights by walking the data flow from the token
 * embedding to the logits (MODELS.md §1): residual stream, norms, attention, MLP. Node names are
 * only checked against the walk. Reads the Llama architecture as onnxruntime-genai writes it, with
 * separate or packed q/k/v and with RoPE as nodes of its own or inside GroupQueryAttention.
 */
import { assertDims, assertFeatures, assertName, assertPair, lost } from './checks';
import { type DecoderConfig, parseDecoderConfig } from './config';
import { UnsupportedModelError } from './errors';
import { Graph, isOp, MICROSOFT, numberAttribute, unsupported } from './graph';
import {
  type DenseLinear,
  floatType,
  type Int4Linear,
  isLinearOp,
  type Linear,
  type LinearSite,
  readInt4Rows,
  readLinear,
  sliceOutputs,
} from './linear';
import type { DecoderLayer, DecoderModel, DenseTensor, EmbeddingTable } from './model';
import type { OnnxModel, OnnxNode } from './proto';
import { DataType, type TensorRef } from './tensor';

export type { DecoderConfig, DenseLinear, Int4Linear, Linear };
export type { DecoderLayer, DecoderModel, DenseTensor, EmbeddingTable };

/** The walk's place: the residual stream and what has still to be added to it. */
interface Stream {
  residual: string;
  delta: string | null;
}

interface Rotary {
  cos: TensorRef;
  sin: TensorRef;
}

const MASK_OPERATORS = new Set([
  'ReduceSum',
  'Sub',
  'Cast',
  'Shape',
  'Gather',
  'Constant',
  'Squeeze',
  'Unsqueeze',
]);
const MASK_INPUTS = new Set(['attention_mask']);
const POSITION_INPUTS = new Set(['position_ids']);

/**
 * Maps the graph of `model` with the parsed config.json. Every node is accounted for: one that is
 * not understood is an {@link UnsupportedModelError} that names it.
 */
export function mapDecoder(model: OnnxModel, configJson: unknown): DecoderModel {
  return new DecoderWalk(new Graph(model), parseDecoderConfig(configJson)).run();
}

class DecoderWalk {
  private rotary: Rotary | undefined;

  constructor(
    private readonly graph: Graph,
    private readonly config: DecoderConfig,
  ) {}

  run(): DecoderModel {
    const { graph, config } = this;
    const { embedding, output } = this.readEmbedding();
    const stream: Stream = { residual: output, delta: null };
    const layers: DecoderLayer[] = [];
    for (let layer = 0; layer < config.layers; layer++) {
      layers.push(this.readLayer(stream, layer));
    }
    const final = this.readNorm(stream);
    const head = this.readHead(final.output);
    graph.assertAllClaimed();
    const rotary = this.rotary;
    if (rotary === undefined) {
      throw new UnsupportedModelError('The graph has no cos and sin caches for its positions.');
    }
    return {
      config,
      embedding,
      layers,
      finalNorm: final.weight,
      head,
      cosCache: this.dense(rotary.cos),
      sinCache: this.dense(rotary.sin),
      cachePositions: rotary.cos.dims[0] ?? 0,
    };
  }

  private readEmbedding(): { embedding: EmbeddingTable; output: string } {
    const { graph, config } = this;
    const [node, ...others] = graph.consumers('input_ids');
    if (node === undefined || others.length > 0) {
      throw new UnsupportedModelError('The graph has no single consumer of its input "input_ids".');
    }
    graph.claim(node);
    const output = this.throughCasts(node.outputs[0] ?? '');
    if (isOp(node, 'Gather')) {
      if (numberAttribute(node, 'axis', 0) !== 0) throw unsupported(node, 'it gathers no rows');
      const data = graph.weight(node, 0, 'embedding');
      assertDims(node, data, [config.vocabSize, config.dim]);
      return { embedding: { kind: 'dense', dtype: floatType(node, data), data }, output };
    }
    if (isOp(node, 'GatherBlockQuantized', MICROSOFT)) {
      return {
        embedding: { kind: 'int4', table: readInt4Rows(graph, node, config.vocabSize, config.dim) },
        output,
      };
    }
    throw unsupported(node, 'it is no token embedding');
  }

  private readLayer(stream: Stream, layer: number): DecoderLayer {
    const inputNorm = this.readNorm(stream);
    const attention = this.readAttention(inputNorm.output, layer);
    stream.delta = attention.output;
    const postNorm = this.readNorm(stream);
    const mlp = this.readMlp(postNorm.output, layer);
    stream.delta = mlp.output;
    return {
      inputNorm: inputNorm.weight,
      ...attention.weights,
      postNorm: postNorm.weight,
      ...mlp.weights,
    };
  }

  /** Adds the pending sublayer output to the residual stream and normalises it. */
  private readNorm(stream: Stream): { weight: DenseTensor; output: string } {
    const { graph } = this;
    const { residual, delta } = stream;
    let added = delta === null ? residual : null;
    if (delta !== null) {
      const fused = graph
        .consumers(delta)
        .find((node) => isOp(node, 'SkipSimplifiedLayerNormalization', MICROSOFT));
      if (fused) {
        assertPair(fused, residual, delta);
        if (fused.inputs[3]) throw unsupported(fused, 'it adds a bias');
        stream.residual = fused.outputs[3] ?? '';
        stream.delta = null;
        return this.finishNorm(fused, 2);
      }
      const add = graph.consumers(delta).find((node) => isOp(node, 'Add'));
      if (add === undefined) throw lost(this.graph, delta, 'a residual connection');
      assertPair(add, residual, delta);
      graph.claim(add);
      added = add.outputs[0] ?? '';
    }
    stream.residual = added ?? '';
    stream.delta = null;
    const norm = graph
      .consumers(stream.residual)
      .find((node) => isOp(node, 'SimplifiedLayerNormalization'));
    if (norm === undefined) throw lost(this.graph, stream.residual, 'an RMSNorm');
    return this.finishNorm(norm, 1);
  }

  private finishNorm(node: OnnxNode, weightIndex: number): { weight: DenseTensor; output: string } {
    const { graph, config } = this;
    const eps = numberAttribute(node, 'epsilon', 1e-5);
    // The attribute is a float32 of what config.json has in decimal.
    if (Math.abs(eps - config.normEps) > 1e-6 * config.normEps) {
      throw unsupported(node, `its epsilon ${eps} is not config.json's ${config.normEps}`);
    }
    if (weightIndex === 1 && numberAttribute(node, 'axis', -1) !== -1) {
      throw unsupported(node, 'it does not normalise the last axis');
    }
    const data = graph.weight(node, weightIndex, 'weight');
    assertDims(node, data, [config.dim]);
    graph.claim(node);
    return {
      weight: { dtype: floatType(node, data), data },
      output: this.throughCasts(node.outputs[0] ?? ''),
    };
  }

  private readAttention(
    input: string,
    layer: number,
  ): { weights: Pick<DecoderLayer, 'q' | 'k' | 'v' | 'o'>; output: string } {
    const { graph, config } = this;
    const node = this.findAttention(input, layer);
    this.checkAttention(node, layer);
    graph.claim(node);
    const queries = config.heads * config.headDim;
    const keys = config.kvHeads * config.headDim;
    const [queryInput = '', keyInput = '', valueInput = ''] = node.inputs;
    let q: Linear, k: Linear, v: Linear;
    if (keyInput === '' && valueInput === '') {
      const packed = this.linearBehind(node, queryInput, input, layer, 'qkv');
      assertFeatures(node, packed, queries + 2 * keys, config.dim);
      q = sliceOutputs(node, packed, 0, queries);
      k = sliceOutputs(node, packed, queries, keys);
      v = sliceOutputs(node, packed, queries + keys, keys);
    } else {
      q = this.linearBehind(node, this.beforeRotary(node, queryInput), input, layer, 'q');
      k = this.linearBehind(node, this.beforeRotary(node, keyInput), input, layer, 'k');
      v = this.linearBehind(node, valueInput, input, layer, 'v');
      assertFeatures(node, q, queries, config.dim);
      assertFeatures(node, k, keys, config.dim);
      assertFeatures(node, v, keys, config.dim);
    }
    const out = this.linearAfter(node.outputs[0] ?? '', layer, 'o');
    assertFeatures(node, out.linear, config.dim, queries);
    return { weights: { q, k, v, o: out.linear }, output: out.output };
  }

  /** The attention that the projections of `input` feed. */
  private findAttention(input: string, layer: number): OnnxNode {
    const { graph } = this;
    let tensors = [input];
    // Projection, bias and RoPE: at most three nodes lie in between.
    for (let hop = 0; hop < 4; hop++) {
      const nodes = tensors.flatMap((tensor) => [...graph.consumers(tensor)]);
      const found = nodes.find((node) => isOp(node, 'GroupQueryAttention', MICROSOFT));
      if (found) return found;
      tensors = nodes.flatMap((node) => node.outputs.filter((output) => output !== ''));
    }
    throw new UnsupportedModelError(
      `Layer ${layer} has no GroupQueryAttention behind "${input}"; other attention is not supported.`,
    );
  }

  private checkAttention(node: OnnxNode, layer: number): void {
    const { graph, config } = this;
    const expect = (name: string, otherwise: number, expected: number): void => {
      const value = numberAttribute(node, name, otherwise);
      if (value !== expected) throw unsupported(node, `${name} is ${value}, not ${expected}`);
    };
    expect('num_heads', 0, config.heads);
    expect('kv_num_heads', 0, config.kvHeads);
    expect('rotary_interleaved', 0, 0);
    expect('local_window_size', -1, -1);
    expect('softcap', 0, 0);
    expect('smooth_softmax', 0, 0);
    const scale = numberAttribute(node, 'scale', 0) || config.headDim ** -0.5;
    if (Math.abs(scale * Math.sqrt(config.headDim) - 1) > 1e-5) {
      throw unsupported(node, `its scale ${scale} is not 1/√${config.headDim}`);
    }
    for (const [index, part] of [
      [3, 'key'],
      [4, 'value'],
    ] as const) {
      const expected = `past_key_values.${layer}.${part}`;
      if (node.inputs[index] !== expected) {
        throw unsupported(node, `its cache is "${node.inputs[index]}", not "${expected}"`);
      }
    }
    if (node.inputs.slice(9).some((input) => input !== '')) {
      throw unsupported(node, 'it has position ids, a bias, sinks or norms of its own');
    }
    graph.claimPlumbing(node.inputs[5] ?? '', MASK_OPERATORS, MASK_INPUTS);
    graph.claimPlumbing(node.inputs[6] ?? '', MASK_OPERATORS, MASK_INPUTS);
    if (numberAttribute(node, 'do_rotary', 0) === 1) {
      this.setRotary(node, graph.weight(node, 7, 'cos cache'), graph.weight(node, 8, 'sin cache'));
    } else if (node.inputs[2] === '') {
      throw unsupported(node, 'it has packed q, k and v without rotation');
    }
  }

  /** The tensor before a RotaryEmbedding node, which is claimed; unchanged if GQA rotates itself. */
  private beforeRotary(attention: OnnxNode, tensor: string): string {
    const { graph, config } = this;
    if (numberAttribute(attention, 'do_rotary', 0) === 1) return tensor;
    const node = graph.producer(tensor);
    if (node === undefined || !isOp(node, 'RotaryEmbedding', MICROSOFT)) {
      throw unsupported(attention, `"${tensor}" is not rotated by position`);
    }
    const partial = numberAttribute(node, 'rotary_embedding_dim', 0);
    if (partial !== 0 && partial !== config.headDim) {
      throw unsupported(node, `it rotates ${partial} of ${config.headDim} values a head`);
    }
    if (numberAttribute(node, 'interleaved', 0) !== 0) {
      throw unsupported(node, 'it rotates neighbouring pairs instead of halves');
    }
    if (numberAttribute(node, 'scale', 1) !== 1) throw unsupported(node, 'it scales its output');
    graph.claimPlumbing(node.inputs[1] ?? '', MASK_OPERATORS, POSITION_INPUTS);
    this.setRotary(node, graph.weight(node, 2, 'cos cache'), graph.weight(node, 3, 'sin cache'));
    graph.claim(node);
    return node.inputs[0] ?? '';
  }

  private setRotary(node: OnnxNode, cos: TensorRef, sin: TensorRef): void {
    const half = this.config.headDim / 2;
    const known = this.rotary;
    if (known) {
      if (known.cos !== cos || known.sin !== sin) {
        throw unsupported(node, 'it has cos and sin caches of its own');
      }
      return;
    }
    const positions = cos.dims[0] ?? 0;
    for (const cache of [cos, sin]) {
      assertDims(node, cache, [positions, half]);
      floatType(node, cache);
    }
    this.rotary = { cos, sin };
  }

  private readMlp(
    input: string,
    layer: number,
  ): { weights: Pick<DecoderLayer, 'gate' | 'up' | 'down'>; output: string } {
    const { graph, config } = this;
    const sites = graph
      .consumers(input)
      .filter(isLinearOp)
      .map((node) => ({ node, site: readLinear(graph, node) }));
    const activates = (output: string): OnnxNode | undefined =>
      graph.consumers(output).find((node) => isOp(node, 'Sigmoid'));
    const gate = sites.find(({ site }) => activates(site.output) !== undefined);
    const up = sites.find((other) => other !== gate);
    if (sites.length !== 2 || gate === undefined || up === undefined) {
      throw lost(this.graph, input, `the gate and up projections of layer ${layer}`);
    }
    assertName(gate.node, layer, 'gate');
    assertName(up.node, layer, 'up');
    assertFeatures(gate.node, gate.site.linear, config.ffnDim, config.dim);
    assertFeatures(up.node, up.site.linear, config.ffnDim, config.dim);
    // SwiGLU: (gate · sigmoid(gate)) · up.
    const sigmoid = activates(gate.site.output)!;
    graph.claim(sigmoid);
    const silu = this.product(gate.site.output, sigmoid.outputs[0] ?? '');
    const gated = this.product(silu, up.site.output);
    const down = this.linearAfter(gated, layer, 'down');
    assertFeatures(gate.node, down.linear, config.dim, config.ffnDim);
    return {
      weights: { gate: gate.site.linear, up: up.site.linear, down: down.linear },
      output: down.output,
    };
  }

  /** Claims the Mul of two tensors and gives its output. */
  private product(a: string, b: string): string {
    const node = this.graph.consumers(b).find((reader) => isOp(reader, 'Mul'));
    if (node === undefined) throw lost(this.graph, b, 'the product of a gated MLP');
    assertPair(node, a, b);
    this.graph.claim(node);
    return node.outputs[0] ?? '';
  }

  private readHead(input: string): Linear {
    const { graph, config } = this;
    const [node, ...others] = graph.consumers(input);
    if (node === undefined || others.length > 0 || !isLinearOp(node)) {
      throw lost(this.graph, input, 'one LM head');
    }
    const site = readLinear(graph, node);
    assertFeatures(node, site.linear, config.vocabSize, config.dim);
    const output = this.throughCasts(site.output);
    if (output !== 'logits' || !graph.isOutput(output)) {
      throw unsupported(node, `its output "${output}" is not the graph's output "logits"`);
    }
    return site.linear;
  }

  /** The linear layer that made `tensor` from `input`. */
  private linearBehind(
    attention: OnnxNode,
    tensor: string,
    input: string,
    layer: number,
    role: string,
  ): Linear {
    const { graph } = this;
    let node = graph.producer(tensor);
    if (node && isOp(node, 'Add')) {
      node = node.inputs.map((name) => graph.producer(name)).find((one) => one && isLinearOp(one));
    }
    if (node === undefined || !isLinearOp(node)) {
      throw unsupported(attention, `"${tensor}" is not a plain projection`);
    }
    const site = readLinear(graph, node);
    if (site.input !== input || site.output !== tensor) {
      throw unsupported(node, `it does not project "${input}" to "${tensor}"`);
    }
    assertName(node, layer, role);
    return site.linear;
  }

  /** The one linear layer that reads `tensor`. */
  private linearAfter(tensor: string, layer: number, role: string): LinearSite {
    const [node, ...others] = this.graph.consumers(tensor);
    if (node === undefined || others.length > 0 || !isLinearOp(node)) {
      throw lost(this.graph, tensor, `the ${role} projection of layer ${layer}`);
    }
    assertName(node, layer, role);
    return readLinear(this.graph, node);
  }

  /** Follows a tensor through float casts that only widen or narrow it. */
  private throughCasts(tensor: string): string {
    const [node, ...others] = this.graph.consumers(tensor);
    if (node === undefined || others.length > 0 || !isOp(node, 'Cast')) return tensor;
    const to = numberAttribute(node, 'to', 0);
    if (to !== DataType.float32 && to !== DataType.float16) {
      throw unsupported(node, `it casts activations to data type ${to}`);
    }
    this.graph.claim(node);
    return this.throughCasts(node.outputs[0] ?? '');
  }

  private dense(data: TensorRef): DenseTensor {
    return { dtype: data.dataType === DataType.float16 ? 'f16' : 'f32', data };
  }
}
