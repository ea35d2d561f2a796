/**
 * Maps a 4-bit decoder graph to the roles of its weights by walking the data flow from the token
 * embedding to the logits (MODELS.md §1): residual stream, norms, attention, MLP. Node names are
 * only checked against the walk. Reads Llama, Qwen 2, Qwen 3 and Gemma 2 as onnxruntime-genai writes
 * them (fused operators) and as optimum does (primitives).
 */
import { findFusedAttention, readFusedAttention } from './attention';
import { assertDims, assertFeatures, assertPair, lost } from './checks';
import { type DecoderConfig, parseDecoderConfig } from '../decoder/config';
import { UnsupportedModelError } from '../decoder/errors';
import { Graph, isOp, MICROSOFT, numberAttribute, unsupported } from './graph';
import type { Linear } from '../decoder/linear';
import { isLinearOp, readInt4Rows, readLinear } from './linear';
import { readMlp } from './mlp';
import {
  type DecoderLayer,
  type DecoderModel,
  type DenseTensor,
  type EmbeddingTable,
  type Rotary,
  sameRotary,
} from '../decoder/model';
import { type NormSite, readFusedNorm, readNormOf, readSoftCap } from './norm';
import { readPrimitiveAttention } from './primitives';
import type { OnnxModel, OnnxNode } from './proto';
import { findUnpackedRows, readUnpackedRows } from './unpacked-table';
import {
  denseTensor,
  isFloatCast,
  near,
  scalarOperand,
  throughCasts,
  valueReaders,
  type Walk,
  PLUMBING,
} from './walk';

/** The walk's place: the residual stream and what has still to be added to it. */
interface Stream {
  residual: string;
  delta: string | null;
}

/**
 * Maps the graph of `model` with the parsed config.json. Every node is accounted for: one that is
 * not understood is an {@link UnsupportedModelError} that names it.
 */
export function mapDecoder(model: OnnxModel, configJson: unknown): DecoderModel {
  return new DecoderWalk(new Graph(model), parseDecoderConfig(configJson)).run();
}

class DecoderWalk implements Walk {
  private rotary: Rotary | undefined;
  private softCap: number | null | undefined;
  private ffnDim: number | undefined;
  private readonly windows: (number | null)[] = [];

  constructor(
    readonly graph: Graph,
    readonly config: DecoderConfig,
  ) {}

  run(): DecoderModel {
    const { graph, config } = this;
    const { embedding, output, scale } = this.readEmbedding();
    const stream: Stream = { residual: output, delta: null };
    const layers: DecoderLayer[] = [];
    for (let layer = 0; layer < config.layers; layer++) {
      layers.push(this.readLayer(stream, layer));
    }
    const final = this.readNorm(stream);
    const { head, cap } = this.readHead(final.output);
    this.claimCacheCasts();
    graph.assertAllClaimed(PLUMBING);
    const { rotary } = this;
    if (rotary === undefined) throw new UnsupportedModelError('The graph has no layers.');
    return {
      config: {
        ...config,
        ffnDim: this.ffnDim ?? config.ffnDim,
        embeddingScale: scale,
        attentionSoftCap: this.softCap ?? null,
        logitSoftCap: cap,
        windows: this.windows,
      },
      embedding,
      layers,
      finalNorm: final.weight,
      head,
      rotary,
    };
  }

  /** float16 files may cast their caches on the way out. */
  private claimCacheCasts(): void {
    for (const { name } of this.graph.model.outputs) {
      const node = name.startsWith('present.') ? this.graph.producer(name) : undefined;
      if (node && isFloatCast(node)) this.graph.claim(node);
    }
  }

  private readEmbedding(): { embedding: EmbeddingTable; output: string; scale: number } {
    const { graph, config } = this;
    const readers = valueReaders(graph, 'input_ids');
    const unpacked = findUnpackedRows(graph, readers);
    if (unpacked) {
      const rows = readUnpackedRows(graph, unpacked, config.vocabSize, config.dim);
      const { output, scale } = this.readEmbeddingScale(throughCasts(graph, rows.output));
      return { embedding: { kind: 'int4', table: rows.table }, output, scale };
    }
    const [node, ...others] = readers;
    if (node === undefined || others.length > 0) {
      throw new UnsupportedModelError('The graph has no single consumer of its input "input_ids".');
    }
    graph.claim(node);
    const gathered = throughCasts(graph, node.outputs[0] ?? '');
    const { output, scale } = this.readEmbeddingScale(gathered);
    return { embedding: this.readTable(node), output, scale };
  }

  private readTable(node: OnnxNode): EmbeddingTable {
    const { graph, config } = this;
    if (isOp(node, 'Gather')) {
      if (numberAttribute(node, 'axis', 0) !== 0) throw unsupported(node, 'it gathers no rows');
      const data = graph.weight(node, 0, 'embedding');
      assertDims(node, data, [config.vocabSize, config.dim]);
      return { kind: 'dense', ...denseTensor(node, data) };
    }
    if (isOp(node, 'GatherBlockQuantized', MICROSOFT)) {
      return { kind: 'int4', table: readInt4Rows(graph, node, config.vocabSize, config.dim) };
    }
    throw unsupported(node, 'it is no token embedding');
  }

  /** Gemma multiplies its embeddings by √dim, which exporters round. */
  private readEmbeddingScale(tensor: string): { output: string; scale: number } {
    const { graph, config } = this;
    const [node] = valueReaders(graph, tensor);
    const operand = node && isOp(node, 'Mul') ? scalarOperand(graph, node) : undefined;
    if (node === undefined || operand === undefined) {
      if (config.embeddingScale === 1) return { output: tensor, scale: 1 };
      throw lost(graph, tensor, `the factor ${config.embeddingScale} of embeddings`);
    }
    if (!near(operand.value, config.embeddingScale, 5e-3)) {
      throw unsupported(node, `it multiplies embeddings by ${operand.value}`);
    }
    graph.claim(node);
    return { output: throughCasts(graph, node.outputs[0] ?? ''), scale: operand.value };
  }

  private readLayer(stream: Stream, layer: number): DecoderLayer {
    const { config } = this;
    const inputNorm = this.readNorm(stream);
    const attention = this.readAttention(inputNorm.output, layer);
    stream.delta = throughCasts(this.graph, attention.output);
    const attentionNorm = this.readOutputNorm(stream, `attention of layer ${layer}`);
    const postNorm = this.readNorm(stream);
    const mlp = readMlp(this, postNorm.output, layer);
    const { inFeatures } = mlp.weights.down;
    this.ffnDim ??= inFeatures;
    if (this.ffnDim !== inFeatures) {
      throw unsupported(mlp.node, `it reads ${inFeatures} values where layer 0 has ${this.ffnDim}`);
    }
    stream.delta = throughCasts(this.graph, mlp.output);
    const mlpNorm = this.readOutputNorm(stream, `MLP of layer ${layer}`);
    if (config.qkNorm !== (attention.weights.qNorm !== undefined)) {
      throw lost(
        this.graph,
        inputNorm.output,
        `q and k norms, as config.json says, of layer ${layer}`,
      );
    }
    return {
      inputNorm: inputNorm.weight,
      ...attention.weights,
      ...(attentionNorm && { attentionNorm }),
      postNorm: postNorm.weight,
      ...mlp.weights,
      ...(mlpNorm && { mlpNorm }),
    };
  }

  private readAttention(input: string, layer: number) {
    const { graph } = this;
    const fused = findFusedAttention(this, input);
    const site = fused
      ? readFusedAttention(this, fused, input, layer)
      : readPrimitiveAttention(this, input, layer);
    this.rotary ??= site.rotary;
    if (!sameRotary(this.rotary, site.rotary)) {
      throw lost(graph, input, `the same rotary angles as in layer 0 in layer ${layer}`);
    }
    if (this.softCap === undefined) this.softCap = site.softCap;
    if (this.softCap !== site.softCap) {
      throw lost(graph, input, `the same attention soft cap as in layer 0 in layer ${layer}`);
    }
    this.windows.push(site.window);
    return site;
  }

  /** Normalises a sublayer's output before it is added, where the architecture does. */
  private readOutputNorm(stream: Stream, of: string): DenseTensor | undefined {
    const { graph, config } = this;
    if (!config.outputNorms || stream.delta === null) return undefined;
    const norm = readNormOf(this, stream.delta, config.dim);
    if (norm === undefined) throw lost(graph, stream.delta, `an RMSNorm of the ${of}`);
    stream.delta = norm.output;
    return norm.weight;
  }

  /** Adds the pending sublayer output to the residual stream and normalises it. */
  private readNorm(stream: Stream): NormSite {
    const { graph, config } = this;
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
        return readFusedNorm(this, fused, 2, config.dim);
      }
      const add = graph.consumers(delta).find((node) => isOp(node, 'Add'));
      if (add === undefined) throw lost(graph, delta, 'a residual connection');
      assertPair(add, residual, delta);
      graph.claim(add);
      added = add.outputs[0] ?? '';
    }
    stream.residual = added ?? '';
    stream.delta = null;
    const norm = readNormOf(this, stream.residual, config.dim);
    if (norm === undefined) throw lost(graph, stream.residual, 'an RMSNorm');
    return norm;
  }

  private readHead(input: string): { head: Linear; cap: number | null } {
    const { graph, config } = this;
    const [node, ...others] = valueReaders(graph, input);
    if (node === undefined || others.length > 0 || !isLinearOp(node)) {
      throw lost(graph, input, 'one LM head');
    }
    const site = readLinear(graph, node);
    assertFeatures(node, site.linear, config.vocabSize, config.dim);
    const { cap, output: capped } = readSoftCap(this, throughCasts(graph, site.output));
    const output = throughCasts(graph, capped);
    if (output !== 'logits' || !graph.isOutput(output)) {
      throw unsupported(node, `its output "${output}" is not the graph's output "logits"`);
    }
    if (cap !== null && !near(cap, config.logitSoftCap ?? 0)) {
      throw unsupported(node, `its logits are capped at ${cap}, against config.json`);
    }
    return { head: site.linear, cap };
  }
}
