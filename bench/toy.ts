/**
 * A Llama of any shape with seeded random int4 weights, written as the ONNX file that
 * onnxruntime-genai's builder would write (separate q, k, v and RotaryEmbedding), so
 * that the engine, onnxruntime-web and PyTorch load the very same model. Weights are made when they
 * are read: a billion parameters cost no memory here.
 */
import type { Engine } from '../src/engine/engine';
import type { Example, MixturePath } from '../src/engine/types';
import { type ByteSource, memorySource } from '../src/formats/byte-source';
import { type ModelFiles, tensorBytes } from '../src/formats/decoder/tensor';
import { elementTypeOf, OnnxType } from '../src/formats/onnx/data-type';
import { normals, random } from '../src/kernels/gpu/testing';
import { type ExternalTensor, type NodeSpec, type ValueSpec, writeOnnx } from './onnx-writer';

export interface ToyShape {
  dim: number;
  layers: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  ffnDim: number;
  vocabSize: number;
  maxPositions: number;
  /** 'dense': an f32 table beside an int4 head; 'shared': one int4 table for both. */
  embedding: 'dense' | 'shared';
}

/** The toy Llama of the benchmarks: 11 M parameters, most of them in the head. */
export const TOY: Readonly<ToyShape> = {
  dim: 256,
  layers: 4,
  heads: 8,
  kvHeads: 4,
  headDim: 32,
  ffnDim: 704,
  vocabSize: 32000,
  maxPositions: 2048,
  embedding: 'dense',
};

export const TOY_EPS = 1e-5;
export const TOY_THETA = 10000;
/** Values that share a scale. */
export const BLOCK = 32;
/** Standard deviation of a uniform nibble. */
const NIBBLE_DEVIATION = Math.sqrt((16 * 16 - 1) / 12);
const DATA_FILE = 'model.onnx.data';

interface Weight extends ExternalTensor {
  make(): ArrayBufferView;
}

export interface ToyModel {
  shape: ToyShape;
  /** config.json. */
  config: Record<string, unknown>;
  files: ModelFiles;
  /** model.onnx, without weights. */
  graph: Uint8Array<ArrayBuffer>;
  /** Name of the external data file that `graph` names. */
  dataFile: string;
  /** The whole external data file, [all tensors one after another]. */
  data(): Promise<Uint8Array>;
  /** One stored tensor by its name in the file, as little-endian bytes. */
  tensor(name: string): Promise<Uint8Array>;
}

/** The model of this shape; the same seed gives the same weights everywhere. */
export function toyModel(shape: ToyShape = TOY, seed = 1): ToyModel {
  const weights = new Weights(seed);
  const nodes = [...maskNodes(), ...decoderNodes(shape, weights)];
  const graph = writeOnnx({
    nodes,
    initializers: weights.list,
    location: DATA_FILE,
    ...interfaceOf(shape),
  });
  const source = weights.source();
  return {
    shape,
    config: configOf(shape),
    files: { model: memorySource(graph), external: new Map([[DATA_FILE, source]]) },
    graph,
    dataFile: DATA_FILE,
    data: () => source.read(0, source.size),
    async tensor(name) {
      const found = weights.list.find((weight) => weight.name === name);
      if (!found) throw new RangeError(`The toy has no tensor ${name}.`);
      return source.read(found.offset, found.length);
    },
  };
}

/** Tensors in file order, each at a multiple of 64 bytes. */
class Weights {
  readonly list: Weight[] = [];
  private end = 0;

  constructor(private readonly seed: number) {}

  private add(name: string, dims: number[], dataType: number, make: (seed: number) => unknown) {
    const length = tensorBytes(dims, elementTypeOf(name, dataType));
    const seed = this.seed * 7919 + this.list.length;
    const whole = () => make(seed) as ArrayBufferView;
    this.list.push({ name, dims, dataType, offset: this.end, length, make: whole });
    this.end = Math.ceil((this.end + length) / 64) * 64;
    return name;
  }

  floats(name: string, dims: number[], make: (next: () => number, at: number) => number): string {
    const count = dims.reduce((a, b) => a * b, 1);
    return this.add(name, dims, OnnxType.float32, (seed) => {
      const next = random(seed);
      const values = new Float32Array(count);
      for (let i = 0; i < count; i++) values[i] = make(next, i);
      return values;
    });
  }

  norm(name: string, dim: number): string {
    return this.floats(name, [dim], (next) => 0.8 + 0.4 * next());
  }

  /** Nibbles and scales of a layer [rows, columns] whose weights deviate by `deviation`. */
  int4(
    name: string,
    rows: number,
    columns: number,
    deviation: number,
    flat = false,
  ): [string, string] {
    const blocks = columns / BLOCK;
    const dims = flat ? [rows, columns / 2] : [rows, blocks, BLOCK / 2];
    const words = (rows * columns) / 8;
    const data = this.add(`${name}_Q4`, dims, OnnxType.uint8, (seed) => {
      const next = random(seed);
      const packed = new Uint32Array(words);
      for (let i = 0; i < words; i++) packed[i] = next() * 2 ** 32;
      return packed;
    });
    const scale = deviation / NIBBLE_DEVIATION;
    const scales = this.floats(`${name}_scales`, [rows, blocks], (next) => {
      // Quantisers write negative scales too.
      const size = scale * (0.5 + next());
      return next() < 0.1 ? -size : size;
    });
    return [data, scales];
  }

  source(): ByteSource {
    const { list, end: size } = this;
    return {
      size,
      async read(offset, length) {
        const bytes = new Uint8Array(length);
        for (const weight of list) {
          const from = Math.max(offset, weight.offset);
          const to = Math.min(offset + length, weight.offset + weight.length);
          if (from >= to) continue;
          const { buffer, byteOffset } = weight.make();
          const part = new Uint8Array(buffer, byteOffset + from - weight.offset, to - from);
          bytes.set(part, from - offset);
        }
        return bytes;
      },
    };
  }
}

function maskNodes(): NodeSpec[] {
  const constant = (name: string, value: number | number[]): NodeSpec => ({
    ...{ op: 'Constant', name: `/model/${name}`, inputs: [], outputs: [name], constant: value },
  });
  const node = (op: string, inputs: string[], output: string, ints = {}): NodeSpec => ({
    ...{ op, name: `/model/mask/${output}`, inputs, outputs: [output], ints },
  });
  return [
    constant('axis', [1]),
    constant('one', 1),
    node('ReduceSum', ['attention_mask', 'axis'], 'tokens_seen', { keepdims: 0 }),
    node('Sub', ['tokens_seen', 'axis'], 'last_position'),
    node('Cast', ['last_position'], 'seqlens_k', { to: OnnxType.int32 }),
    node('Shape', ['attention_mask'], 'mask_shape'),
    node('Gather', ['mask_shape', 'one'], 'total_length', { axis: 0 }),
    node('Cast', ['total_length'], 'total_sequence_length', { to: OnnxType.int32 }),
  ];
}

function decoderNodes(shape: ToyShape, weights: Weights): NodeSpec[] {
  const { dim, layers, heads, kvHeads, headDim, ffnDim, vocabSize, maxPositions } = shape;
  const domain = 'com.microsoft';
  const nodes: NodeSpec[] = [];
  const half = headDim / 2;
  const angle = (at: number) => Math.floor(at / half) * TOY_THETA ** ((-2 * (at % half)) / headDim);
  const cos = weights.floats('cos_cache', [maxPositions, half], (_, at) => Math.cos(angle(at)));
  const sin = weights.floats('sin_cache', [maxPositions, half], (_, at) => Math.sin(angle(at)));
  const linear = (name: string, x: string, rows: number, columns: number, deviation: number) => {
    const role = name.replaceAll('/', '.').replace(/^\./, '');
    const stored = weights.int4(`${role}.MatMul.weight`, rows, columns, deviation);
    const output = `${name}/MatMul/output_0`;
    nodes.push({
      op: 'MatMulNBits',
      domain,
      name: `${name}/MatMul_Q4`,
      inputs: [x, ...stored],
      outputs: [output],
      ints: { K: columns, N: rows, bits: 4, block_size: BLOCK },
    });
    return output;
  };

  let table: [string, string] | null = null;
  const embedded = '/model/embed_tokens/output_0';
  if (shape.embedding === 'shared') {
    // Rows serve as embeddings and as the head: the residual stream starts at 2 / √dim.
    table = weights.int4('model.embed_tokens.weight', vocabSize, dim, 2 / Math.sqrt(dim), true);
    nodes.push({
      op: 'GatherBlockQuantized',
      domain,
      name: '/model/embed_tokens/GatherBlockQuantized',
      inputs: [table[0], 'input_ids', table[1]],
      outputs: [embedded],
      ints: { bits: 4, block_size: BLOCK, gather_axis: 0, quantize_axis: 1 },
    });
  } else {
    const rows = weights.floats(
      'model.embed_tokens.weight',
      [vocabSize, dim],
      (next) => 0.7 * (next() + next() + next() - 1.5),
    );
    nodes.push({
      op: 'Gather',
      name: '/model/embed_tokens/Gather',
      inputs: [rows, 'input_ids'],
      outputs: [embedded],
    });
  }
  const [q, kv] = [heads * headDim, kvHeads * headDim];
  const norms = { epsilon: TOY_EPS };
  let residual = embedded;
  let delta = '';
  const normalise = (name: string, weight: string) => {
    const output = `${name}/output_0`;
    const scale = weights.norm(weight, dim);
    if (delta === '') {
      nodes.push({
        op: 'SimplifiedLayerNormalization',
        name: `${name}/LayerNorm`,
        inputs: [residual, scale],
        outputs: [output],
        ints: { axis: -1, stash_type: 1 },
        floats: norms,
      });
      return output;
    }
    const sum = `${name}/output_3`;
    nodes.push({
      op: 'SkipSimplifiedLayerNormalization',
      domain,
      name: `${name}/SkipLayerNorm`,
      inputs: [residual, delta, scale],
      outputs: [output, '', '', sum],
      floats: norms,
    });
    residual = sum;
    return output;
  };
  for (let i = 0; i < layers; i++) {
    const at = `/model/layers.${i}`;
    const file = `model.layers.${i}`;
    const x = normalise(`${at}/input_layernorm`, `${file}.input_layernorm.weight`);
    const attended = `${at}/attn/GroupQueryAttention/output_0`;
    const deviation = 1 / Math.sqrt(dim);
    const rotate = (name: string, input: string) => {
      const output = `${at}/attn/${name}/RotaryEmbedding/output_0`;
      nodes.push({
        op: 'RotaryEmbedding',
        domain,
        name: `${at}/attn/${name}/RotaryEmbedding`,
        inputs: [input, 'position_ids', cos, sin],
        outputs: [output],
        ints: { interleaved: 0, num_heads: 0, rotary_embedding_dim: 0 },
      });
      return output;
    };
    const query = linear(`${at}/attn/q_proj`, x, q, dim, deviation);
    const key = linear(`${at}/attn/k_proj`, x, kv, dim, deviation);
    const value = linear(`${at}/attn/v_proj`, x, kv, dim, deviation);
    const inputs = [
      rotate('q_rotary', query),
      rotate('k_rotary', key),
      value,
      `past_key_values.${i}.key`,
      `past_key_values.${i}.value`,
      ...['seqlens_k', 'total_sequence_length'],
    ];
    nodes.push({
      op: 'GroupQueryAttention',
      domain,
      name: `${at}/attn/GroupQueryAttention`,
      inputs,
      outputs: [attended, `present.${i}.key`, `present.${i}.value`],
      ints: {
        ...{ num_heads: heads, kv_num_heads: kvHeads, local_window_size: -1 },
        ...{ do_rotary: 0, rotary_interleaved: 0 },
      },
      floats: { scale: 1 / Math.sqrt(headDim), softcap: 0 },
    });
    delta = linear(`${at}/attn/o_proj`, attended, dim, q, 0.5 / Math.sqrt(q));
    const post = 'post_attention_layernorm';
    const y = normalise(`${at}/${post}`, `${file}.${post}.weight`);
    const gate = linear(`${at}/mlp/gate_proj`, y, ffnDim, dim, deviation);
    const up = linear(`${at}/mlp/up_proj`, y, ffnDim, dim, deviation);
    const [sigmoid, silu, hidden] = ['act_fn/Sigmoid', 'act_fn/Mul', 'Mul'].map(
      (part) => `${at}/mlp/${part}/output_0`,
    ) as [string, string, string];
    const plain = (op: string, part: string, from: string[], output: string) =>
      nodes.push({ op, name: `${at}/mlp/${part}`, inputs: from, outputs: [output] });
    plain('Sigmoid', 'act_fn/Sigmoid', [gate], sigmoid);
    plain('Mul', 'act_fn/Mul', [gate, sigmoid], silu);
    plain('Mul', 'Mul', [silu, up], hidden);
    delta = linear(`${at}/mlp/down_proj`, hidden, dim, ffnDim, 1 / Math.sqrt(ffnDim));
  }
  const last = `layers.${layers}.final_norm_layernorm`;
  const final = normalise(`/model/${last}`, `model.${last}.weight`);
  // Logits deviate by about 2: a distribution neither flat nor a point.
  const head = table ?? weights.int4('lm_head.MatMul.weight', vocabSize, dim, 2 / Math.sqrt(dim));
  nodes.push({
    op: 'MatMulNBits',
    domain,
    name: '/lm_head/MatMul_Q4',
    inputs: [final, ...head],
    outputs: ['logits'],
    ints: { K: dim, N: vocabSize, bits: 4, block_size: BLOCK },
  });
  return nodes;
}

function interfaceOf({ layers, kvHeads, headDim, vocabSize }: ToyShape) {
  const ids = (name: string, length: string): ValueSpec => ({
    ...{ name, dataType: OnnxType.int64, shape: ['batch', length] },
  });
  const caches = (prefix: string, length: string): ValueSpec[] =>
    Array.from({ length: layers }, (_, i) =>
      ['key', 'value'].map((part) => ({
        name: `${prefix}.${i}.${part}`,
        dataType: OnnxType.float32,
        shape: ['batch', kvHeads, length, headDim],
      })),
    ).flat();
  return {
    inputs: [
      ids('input_ids', 'sequence'),
      ids('attention_mask', 'total'),
      ids('position_ids', 'sequence'),
      ...caches('past_key_values', 'past'),
    ],
    outputs: [
      { name: 'logits', dataType: OnnxType.float32, shape: ['batch', 'sequence', vocabSize] },
      ...caches('present', 'total'),
    ],
  };
}

function configOf(shape: ToyShape): Record<string, unknown> {
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: shape.embedding === 'shared',
    head_dim: shape.headDim,
    bos_token_id: 1,
    eos_token_id: 2,
    vocab_size: shape.vocabSize,
    hidden_size: shape.dim,
    intermediate_size: shape.ffnDim,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    max_position_embeddings: shape.maxPositions,
    rms_norm_eps: TOY_EPS,
    rope_theta: TOY_THETA,
  };
}

export interface ToyTask {
  /** Rows of the soft prompt. */
  virtualTokens: number;
  batch: number;
  /** Rows of one sequence behind the soft prompt. */
  textTokens: number;
  /** How many of them are prompt; the last of these predicts the first response token. */
  promptTokens: number;
}

/** 32 prompt rows and 96 text rows, each of which predicts a token: 128 rows, 96 loss rows. */
export const TOY_TASK: Readonly<ToyTask> = {
  virtualTokens: 32,
  batch: 1,
  textTokens: 96,
  promptTokens: 1,
};

/** Seeded token ids; 0 to 2 are special. */
export function toyTokens(vocabSize: number, seed: number, length: number): number[] {
  const next = random(seed);
  return Array.from({ length }, () => 3 + Math.floor(next() * (vocabSize - 3)));
}

/** A batch whose target is the frozen model without the soft prompt, all positions alike. */
export function toyExamples(
  { vocabSize }: Pick<ToyShape, 'vocabSize'>,
  task: ToyTask = TOY_TASK,
): Example<MixturePath>[] {
  const { batch, textTokens, promptTokens } = task;
  const length = textTokens - promptTokens + 1;
  return Array.from({ length: batch }, (_, e) => {
    const tokens = toyTokens(vocabSize, 1000 + e, promptTokens + length);
    return {
      prompt: tokens.slice(0, promptTokens),
      paths: [
        {
          tokens: tokens.slice(promptTokens),
          coef: new Float32Array(length).fill(1 / (batch * length)),
          refusalPosterior: new Float32Array(length),
          refusalNext: Array.from({ length }, () => ({ tokens: [], probs: [] })),
        },
      ],
    };
  });
}

/** The soft prompt that training starts from, [virtualTokens, dim]. */
export function toyPrompt(
  { dim }: Pick<ToyShape, 'dim'>,
  { virtualTokens }: ToyTask = TOY_TASK,
): Float32Array {
  return normals(77, virtualTokens * dim, 0.5);
}

/** A trainer with room for exactly this task. */
export function toyTrainerOptions(task: ToyTask, objective: 'tv' | 'kl') {
  const { virtualTokens, batch, textTokens, promptTokens } = task;
  return {
    trainable: { kind: 'soft-prompt', n: virtualTokens },
    objective: { family: 'divergence', name: objective },
    maxRows: batch * textTokens,
    maxLossRows: batch * (textTokens - promptTokens + 1),
    clipNorm: 1,
  } satisfies Parameters<Engine['createTrainer']>[0];
}
