/**
 * Milliseconds of attention on a training batch of the pocket model: 4 heads on 2 of size 32,
 * 16 prefix rows, 16 examples of a 20-token prompt with a 12-token and a 24-token response.
 *
 *   npx vitest bench --run --project dawn src/kernels/attention/attention.bench.ts      (Node on Dawn)
 *   npx vitest bench --run --project browser src/kernels/attention/attention.bench.ts   (Chromium)
 */
import { bench } from 'vitest';
import { createAttention, type AttentionTile } from './attention';
import { createAttentionBackward, type AttentionBackwardTile } from './attention-backward';
import { packBatch } from './attention.batches';
import { Gpu, Span, type Op } from '../gpu/gpu';
import { normals } from '../gpu/testing';

const SHAPE = { heads: 4, kvHeads: 2, headDim: 32, scale: 1 / Math.sqrt(32) };

/** Milliseconds that `ops` take: the best of several rounds of about 40 ms. */
async function milliseconds(gpu: Gpu, ...ops: Op[]): Promise<number> {
  const time = async (repeats: number) => {
    const start = performance.now();
    gpu.run(Array.from({ length: repeats }, () => ops).flat());
    await gpu.device.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
  await time(2);
  const repeats = Math.max(1, Math.min(400, Math.round(40 / (await time(1)))));
  let best = Infinity;
  for (let round = 0; round < 7; round++) best = Math.min(best, (await time(repeats)) / repeats);
  return best;
}

interface BenchTiles {
  forward?: AttentionTile;
  backward?: AttentionBackwardTile;
}

/** Prints one line; tiles are those that the kernels choose where none are given. */
export async function benchAttention(
  gpu: Gpu,
  log: (line: string) => void,
  tiles: BenchTiles = {},
): Promise<void> {
  const batch = packBatch(
    16,
    Array.from({ length: 16 }, () => [20, 12, 24]),
  );
  const { rows, prefix } = batch;
  const { heads, kvHeads, headDim } = SHAPE;
  const pipelinesBefore = gpu.pipelineCount;
  const compileStart = performance.now();
  const forward = await createAttention(gpu, SHAPE, tiles.forward);
  const backward = await createAttentionBackward(gpu, SHAPE, tiles.backward);
  const compile = performance.now() - compileStart;
  const floats = (seed: number, width: number) => gpu.upload('input', normals(seed, rows * width));
  const sampled = Array.from({ length: 64 }, (_, i) => 36 + 56 * (i % 16) + 11);
  const b = {
    q: floats(1, heads * headDim),
    k: floats(2, kvHeads * headDim),
    v: floats(3, kvHeads * headDim),
    dO: floats(4, heads * headDim),
    o: floats(5, heads * headDim),
    lse: floats(6, heads),
    stats: gpu.storage('stats', rows * heads * 8),
    keys: gpu.upload('keys', batch.keys),
    self: gpu.upload('self', batch.self),
    // The bench has no window, so the positions beside the ends are never read.
    seen: gpu.upload(
      'seen',
      Uint32Array.from({ length: 4 * batch.rows }, (_, i) =>
        i % 4 === 1 ? batch.queryEnd[i >> 2]! : i >> 2,
      ),
    ),
    partialK: gpu.storage('partial', backward.partialBytes(prefix)),
    partialV: gpu.storage('partial', backward.partialBytes(prefix)),
    dQ: floats(7, heads * headDim),
    dK: floats(8, kvHeads * headDim),
    dV: floats(9, kvHeads * headDim),
    decodeKeys: gpu.upload(
      'decode keys',
      Uint32Array.from(sampled.flatMap((row) => [...batch.keys.slice(4 * row, 4 * row + 4)])),
    ),
    decodeSelf: gpu.upload('decode self', Uint32Array.from(sampled)),
  };
  const span = (start: number, count: number) => {
    const made = new Span(gpu, 'bench');
    made.set(start, count);
    return made;
  };
  const spans = {
    all: span(0, rows),
    text: span(prefix, rows - prefix),
    prefix: span(0, prefix),
    decode: span(0, 64),
  };
  const decoding = { ...b, keys: b.decodeKeys, self: b.decodeSelf, span: spans.decode };
  const partial = { k: b.partialK, v: b.partialV };
  const timed: [string, Op[]][] = [
    ['forward', [forward.bind({ ...b, span: spans.all })]],
    ['decode 64', [forward.bindDecode(decoding)]],
    ['stats', [backward.bindStats({ ...b, span: spans.all })]],
    ['dQ', [backward.bindQuery({ ...b, span: spans.all })]],
    ['dK dV text', [backward.bindText({ ...b, span: spans.text })]],
    ['dK dV prefix', [...backward.bindPrefix({ ...b, partial, span: spans.prefix })]],
  ];
  const cells: string[] = [];
  for (const [name, ops] of timed)
    cells.push(`${name} ${(await milliseconds(gpu, ...ops)).toFixed(2)}`);
  const made = gpu.pipelineCount - pipelinesBefore;
  log(`${rows} rows, ms: ${cells.join(', ')}; ${made} pipelines in ${compile.toFixed(0)} ms`);
  gpu.release(...Object.values(b));
  Object.values(spans).forEach((s) => s.release());
}

bench(
  'attention',
  async () => {
    const gpu = await Gpu.create(navigator.gpu);
    await benchAttention(gpu, (line) => console.log(line));
    gpu.destroy();
  },
  { iterations: 1, time: 0, warmupIterations: 0, warmupTime: 0 },
);
