/** What a training step computes, in floating-point operations: what plans are chosen by. Pure. */
import type { DecoderConfig } from '../formats/decoder/config';

export interface PassShape {
  /** Rows of all passes together, soft prompts included. */
  rows: number;
  /** Rows among them that carry loss. */
  lossRows: number;
  /** Rows of soft prompts; null where an adapter in the model is trained. */
  promptRows: number | null;
  keep: 'layers' | 'inputs';
}

/** Of one row in one layer, one way. */
function rowWork(config: DecoderConfig) {
  const { dim, heads, kvHeads, headDim, ffnDim } = config;
  const q = 2 * dim * heads * headDim;
  return {
    q,
    o: q,
    kv: 4 * dim * kvHeads * headDim,
    mlp: 6 * dim * ffnDim,
    down: 2 * dim * ffnDim,
  };
}

/**
 * Work of all layers' frozen linears, forward and back. The last layer makes keys and values of all
 * rows and everything else of the loss rows alone (forward.ts); where a soft prompt is trained, the first
 * layer's projections have gradients to its rows only, of which none carries loss (backward.ts).
 */
export function layersWork(config: DecoderConfig, pass: PassShape): number {
  const { rows, lossRows, promptRows, keep } = pass;
  const { q, o, kv, mlp, down } = rowWork(config);
  let work = 0;
  for (let layer = 0; layer < config.layers; layer++) {
    const last = layer === config.layers - 1;
    const queries = last ? lossRows : rows;
    const behind = queries * (o + mlp);
    work += rows * kv + queries * q + behind;
    const prompt = layer === 0 ? promptRows : null;
    const wanted = last && prompt !== null ? 0 : (prompt ?? queries);
    work += behind + (prompt ?? rows) * kv + wanted * q;
    if (keep === 'inputs' && !last) {
      work += rows * (kv + q + o + mlp - (config.outputNorms ? 0 : down));
    }
  }
  return work;
}

/** Work of the LM head on `rows` rows: student, gradient and, with a divergence, the teacher. */
export function headWork(
  { dim, vocabSize }: DecoderConfig,
  rows: number,
  family: 'divergence' | 'token' = 'divergence',
): number {
  return 2 * dim * vocabSize * (family === 'token' ? 2 : 3) * rows;
}
