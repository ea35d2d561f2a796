/**
 * tests/fixtures/families/README.md, computed from the files themselves; `vitest run -u` writes it
 * anew.
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { DecoderModel } from '../decoder/model';
import { mapDecoder } from './decoder';
import { type Family, load, NAMES } from './families.testing';
import type { Linear } from '../decoder/linear';

const INTRODUCTION = `# Fixtures of every family and export structure

Small decoders of random weights, written by the exporters that made the hub's files, with what PyTorch
makes of them in float64: logits, greedy text, TV and KL gradients of a soft prompt (\`golden.json\`,
\`golden.f32\`). \`tools/models/fixtures\` makes them, \`tools/models/README.md\` says how.

This file is computed from the fixtures by \`src/formats/onnx/families.readme.test.ts\`, which fails
where it is out of date. "pytorch" is the producer that optimum leaves in its files; the 4-bit weights
of these come from onnxruntime's quantiser. Which runtime has the operators of which fixture is in
\`src/workers/runtime/families.browser.test.ts\`.
`;

const HEADER = [
  ['fixture', 'config.json', 'producer', 'inputs', 'attention', 'angles', 'embedding', 'head'],
  ['4-bit weights', 'data files', 'bytes of the model'],
].flat();

function attention({ model }: Family, decoder: DecoderModel): string {
  const fused = model.nodes.find((node) => node.opType === 'GroupQueryAttention');
  const packed = model.nodes.some((node) => node.name.includes('qkv_proj'));
  const rotates = model.nodes.some((node) => node.opType === 'RotaryEmbedding');
  const [layer] = decoder.layers;
  const norms = layer?.qNorm
    ? fused?.inputs[14]
      ? 'q and k norms inside'
      : 'q and k norms before it'
    : '';
  const { config } = decoder;
  const window = config.windows.find((size) => size !== null);
  return [
    fused ? 'GroupQueryAttention' : 'primitives',
    packed ? 'packed q, k, v' : 'separate q, k, v',
    fused && (rotates ? 'rotation before it' : 'rotation inside'),
    norms,
    layer?.q.bias && 'biases',
    config.attentionSoftCap && `scores capped at ${config.attentionSoftCap}`,
    window && `window of ${window}`,
    layer?.attentionNorm && 'four norms a layer',
  ]
    .filter(Boolean)
    .join(', ');
}

function angles({ rotary, config }: DecoderModel): string {
  const scaling = config.ropeScaling?.get('rope_type');
  const from = {
    caches: rotary.kind === 'caches' && rotary.repeated ? 'tables' : 'caches',
    frequencies: 'frequencies',
    computed: 'computed in the graph',
  }[rotary.kind];
  return scaling === undefined || scaling === 'default' ? from : `${from}, ${String(scaling)}`;
}

function embedding({ embedding: table }: DecoderModel): string {
  return table.kind === 'int4' ? '4 bits' : table.dtype;
}

function head({ embedding: table, head: linear, config }: DecoderModel): string {
  const cap = config.logitSoftCap === null ? '' : `, capped at ${config.logitSoftCap}`;
  if (linear.kind === 'int4') {
    const shared = table.kind === 'int4' && table.table.data === linear.data;
    return `4 bits, ${shared ? 'the embedding' : 'a copy'}${cap}`;
  }
  const tied = table.kind === 'dense' && table.data === linear.data;
  return `${linear.dtype}, ${tied ? 'the embedding transposed' : 'its own'}${cap}`;
}

function weights(decoder: DecoderModel): string {
  const linears: Linear[] = decoder.layers.flatMap(({ q, k, v, o, gate, up, down }) => [
    ...[q, k, v, o],
    ...[gate, up, down],
  ]);
  const table = decoder.embedding.kind === 'int4' ? [decoder.embedding.table] : [];
  const quantised = [...linears, ...table].filter((linear) => linear.kind === 'int4');
  const blocks = [...new Set(quantised.map(({ blockSize }) => blockSize))].join(' and ');
  const zeros = quantised.filter(({ zeroPoints }) => zeroPoints !== undefined).length;
  const half = quantised.some(({ scales }) => scales.dataType === 'float16');
  return [
    `blocks of ${blocks}`,
    half ? 'f16 scales' : 'f32 scales',
    zeros === quantised.length ? 'zero points' : zeros > 0 ? 'zero points in the table' : '',
    decoder.layers[0]?.down.data.dims.length === 3 &&
    decoder.layers[0].gate.data.storage.kind === 'padded'
      ? 'MLP ends inside a block'
      : '',
  ]
    .filter(Boolean)
    .join(', ');
}

async function row(name: string): Promise<string[]> {
  const family = await load(name);
  const { model, files, config } = family;
  const decoder = mapDecoder(model, config);
  const external = [...files.external.values()];
  const bytes = external.reduce((sum, file) => sum + file.size, files.model.size);
  const inputs = ['input_ids', 'attention_mask', 'position_ids'];
  return [
    `\`${name}\``,
    String(config['model_type']),
    `${model.producerName} ${model.producerVersion.replace(/\+.*/, '')}`,
    inputs.every((input) => model.inputs.some((one) => one.name === input))
      ? 'position_ids'
      : 'no position_ids',
    attention(family, decoder),
    angles(decoder),
    embedding(decoder),
    head(decoder),
    weights(decoder),
    String(external.length),
    bytes.toLocaleString('en'),
  ];
}

it('the README of the repository counts them right', () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  expect(readme).toContain(`${NAMES.length} small exports`);
});

it('the list of fixtures says what they are', async () => {
  const rows = await Promise.all([...NAMES].sort().map(row));
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const table = [HEADER, HEADER.map(() => '---'), ...rows].map(line).join('\n');
  await expect(`${INTRODUCTION}\n${table}\n`).toMatchFileSnapshot(
    '../../../tests/fixtures/families/README.md',
  );
});
