/**
 * What a student is conditioned with, whatever was trained: a soft prompt in front, changes inside,
 * or nothing. Everything that samples from an engine or scores with it takes this.
 */
import type { AdapterShape, TrainableShape } from '../../engine/trainable/shape';
import type { AdapterValues, GenerateOptions } from '../../engine/types';
import type { DecoderConfig } from '../../formats/decoder/config';
import type { AdapterSpec, DecoderShape } from './adapter-spec';

/** Null: the frozen student as it is. A system text stands in the chat prompt, not here. */
export type Adaptation =
  | { kind: 'soft-prompt'; /** [n, dim]. */ values: Float32Array }
  | { kind: 'adapter'; shape: AdapterShape; /** In the layout's order. */ values: Float32Array }
  | null;

/** What `generate` is told. */
export function generateWith(
  adaptation: Adaptation,
): Pick<GenerateOptions, 'softPrompt' | 'adapter'> {
  if (adaptation === null) return {};
  if (adaptation.kind === 'soft-prompt') return { softPrompt: adaptation.values };
  return { adapter: adaptation };
}

/** What `score` is told. */
export function scoreWith(adaptation: Adaptation): Float32Array | AdapterValues | undefined {
  if (adaptation === null) return undefined;
  return adaptation.kind === 'soft-prompt' ? adaptation.values : adaptation;
}

/** The shape that the engine runs inside the model; null for soft prompts and where nothing is inside. */
export function adapterShape(spec: AdapterSpec, config: { layers: number }): AdapterShape | null {
  switch (spec.kind) {
    case 'soft-prompt':
    case 'preamble':
      return null;
    case 'lora':
      return { kind: 'lora', rank: spec.rank, alpha: spec.alpha, targets: spec.targets };
    case 'steering': {
      const all = Array.from({ length: config.layers }, (_, layer) => layer);
      const one = Math.min(config.layers - 1, Math.floor(spec.depth * config.layers));
      // Which layer holds the refusal direction is found by trial: the others hold zeros.
      const every = spec.layers === 'all' || spec.source === 'refusal';
      return { kind: 'steering', layers: every ? all : [one] };
    }
  }
}

/** What the engine trains; null for a written preamble. */
export function trainableShape(
  spec: AdapterSpec,
  config: { layers: number },
): TrainableShape | null {
  return spec.kind === 'soft-prompt'
    ? { kind: 'soft-prompt', n: spec.n }
    : adapterShape(spec, config);
}

/** What counts of trained values depend on. */
export function decoderShape(config: DecoderConfig): DecoderShape {
  const { layers, dim, heads, kvHeads, headDim, ffnDim } = config;
  return { layers, dim, queryDim: heads * headDim, keyDim: kvHeads * headDim, mlpDim: ffnDim };
}

/** Vectors in front of every prompt. */
export function virtualTokens(spec: AdapterSpec): number {
  return spec.kind === 'soft-prompt' ? spec.n : 0;
}

/** What a run's values are, with the shape of its adapter. */
export function adaptationOf(
  spec: AdapterSpec,
  values: Float32Array,
  config: { layers: number },
): Adaptation {
  if (spec.kind === 'preamble') return null;
  const shape = adapterShape(spec, config);
  return shape ? { kind: 'adapter', shape, values } : { kind: 'soft-prompt', values };
}
