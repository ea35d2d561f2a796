/**
 * Divergence between target and student at each loss row, with its closed-form gradient in the
 * student's logits (METHOD.md §3.1, §4). Formulas in divergence.wgsl.
 */
import source from './divergence.wgsl?raw';
import { bind, spread, type Gpu, type Op, type Span } from '../gpu/gpu';
import { positive, withRows } from '../rows/reduce-lanes';

/** Total variation, its branch-wise reading (METHOD.md §4.4), KL(p‖q), KL(q‖p), Jensen-Shannon. */
export type Divergence = 'tv' | 'naive-tv' | 'kl' | 'reverse-kl' | 'js';

export interface DivergenceShape {
  vocabulary: number;
  objective: Divergence;
  /** Invocations per row (a power of two in 4..256). Default: chosen from the adapter. */
  lanes?: number;
}

export interface DivergenceArgs {
  /** [rows, vocabulary]: the student's logits; overwritten by coef · dD/dlogits. */
  studentLogits: GPUBuffer;
  /** [rows, vocabulary]: the teacher's logits, all above −1e9; destroyed. */
  teacherLogits: GPUBuffer;
  /** [rows]: weight of the row in the total loss. */
  coef: GPUBuffer;
  /** [rows]: posterior of the refusal branch, in [0, 1]. */
  w: GPUBuffer;
  /** u32 [rows + 1]: row r owns entries [rhoStart[r], rhoStart[r + 1]) of rhoToken and rhoProb. */
  rhoStart: GPUBuffer;
  /** u32 */
  rhoToken: GPUBuffer;
  /** f32; sums to one per row wherever w > 0. A token may occur more than once. */
  rhoProb: GPUBuffer;
  /** [rows], written: D of the row, not weighted. */
  rowLoss: GPUBuffer;
  span: Span;
}

export interface DivergenceKernel {
  bind(args: DivergenceArgs): Op;
}

/** @throws RangeError on a vocabulary below 1. */
export async function createDivergence(
  gpu: Gpu,
  shape: DivergenceShape,
): Promise<DivergenceKernel> {
  const { vocabulary, objective } = shape;
  positive('vocabulary', vocabulary);
  const label = `divergence ${objective}`;
  const pipeline = await gpu.pipeline(
    label,
    withRows(
      gpu,
      source,
      { length: vocabulary, lanes: shape.lanes },
      { VOCABULARY: vocabulary },
      {
        TV: objective === 'tv',
        NAIVE: objective === 'naive-tv',
        SIGNED: objective === 'tv' || objective === 'naive-tv',
        KL: objective === 'kl',
        RATIO: objective === 'reverse-kl' || objective === 'js',
        JS: objective === 'js',
      },
    ),
  );
  return {
    bind: (args) =>
      bind(
        gpu,
        label,
        pipeline,
        [
          args.studentLogits,
          args.teacherLogits,
          args.coef,
          args.w,
          args.rhoStart,
          args.rhoToken,
          args.rhoProb,
          args.rowLoss,
          args.span.buffer,
        ],
        () => spread(args.span.rows),
      ),
  };
}
