/**
 * Attention on a training batch of the pocket model: 16 prefix rows, 16 examples of a 20-token
 * prompt with a 12-token and a 24-token response; forward, decoding 64 sequences, and backward.
 */
import { benchKernels, POCKET } from '../gpu/bench.testing';
import { createAttention } from './attention';
import { createAttentionBackward } from './attention-backward';
import { packBatch } from './attention.batches';

const { heads, kvHeads, headDim } = POCKET;
const SHAPE = { heads, kvHeads, headDim, scale: 1 / Math.sqrt(headDim) };
const DECODED = 64;

benchKernels('attention', async (bench) => {
  const { gpu } = bench;
  const { rows, prefix, keys, self, queryEnd } = packBatch(
    16,
    Array.from({ length: 16 }, () => [20, 12, 24]),
  );
  const start = performance.now();
  const forward = await createAttention(gpu, SHAPE);
  const backward = await createAttentionBackward(gpu, SHAPE);
  const compiled = (performance.now() - start).toFixed(0);
  console.log(`${rows} rows; ${gpu.pipelineCount} pipelines in ${compiled} ms`);
  const values = (width: number, seed: number) => bench.floats(rows * width, seed);
  const buffers = {
    q: values(heads * headDim, 1),
    k: values(kvHeads * headDim, 2),
    v: values(kvHeads * headDim, 3),
    dO: values(heads * headDim, 4),
    o: values(heads * headDim, 5),
    lse: values(heads, 6),
    stats: gpu.storage('stats', rows * heads * 8),
    keys: gpu.upload('keys', keys),
    self: gpu.upload('self', self),
    // The bench has no window, so the positions beside the ends are never read.
    seen: bench.words(4 * rows, (i) => (i % 4 === 1 ? queryEnd[i >> 2]! : i >> 2)),
    dQ: values(heads * headDim, 7),
    dK: values(kvHeads * headDim, 8),
    dV: values(kvHeads * headDim, 9),
  };
  const partial = {
    k: gpu.storage('partial', backward.partialBytes(prefix)),
    v: gpu.storage('partial', backward.partialBytes(prefix)),
  };
  const sampled = Array.from({ length: DECODED }, (_, i) => 36 + 56 * (i % 16) + 11);
  const decoding = {
    ...buffers,
    keys: gpu.upload(
      'decode keys',
      Uint32Array.from(sampled.flatMap((row) => [...keys.slice(4 * row, 4 * row + 4)])),
    ),
    self: gpu.upload('decode self', Uint32Array.from(sampled)),
    span: bench.span(DECODED),
  };
  const all = { ...buffers, span: bench.span(rows) };
  const text = bench.span(rows - prefix, prefix);
  await bench.report('forward', [forward.bind(all)]);
  await bench.report('decode 64', [forward.bindDecode(decoding)]);
  await bench.report('backward: statistics', [backward.bindStats(all)]);
  await bench.report('backward: dQ', [backward.bindQuery(all)]);
  await bench.report('backward: dK, dV of the text', [backward.bindText({ ...all, span: text })]);
  const ofPrefix = backward.bindPrefix({ ...buffers, partial, span: bench.span(prefix) });
  await bench.report('backward: dK, dV of the prefix', [...ofPrefix]);
});
