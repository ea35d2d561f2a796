/**
 * What is trained, as plain data (METHOD.md §6, §10): a soft prompt, LoRA, a steering vector, or
 * nothing but a written preamble. Counts of trained values make comparisons fair.
 */
import type { LoraTarget } from '../../engine/trainable/shape';
import {
  choiceField,
  fieldsOf,
  join,
  listField,
  numberField,
  onlyFields,
  SpecError,
  type NumberRange,
} from '../data/spec-fields';

export interface SoftPromptAdapter {
  kind: 'soft-prompt';
  /** Virtual tokens. */
  n: number;
  /** `full` [n, dim]; `rows` A [n, size]; `global` θ [size]; see sign-projection.ts. */
  form: 'full' | 'rows' | 'global';
  /** r of `rows` or the length of θ; 0 with `full`. */
  size: number;
}

/** y = W x + (alpha/rank)·B A x on each target of every layer. */
export interface LoraAdapter {
  kind: 'lora';
  rank: number;
  alpha: number;
  targets: LoraTarget[];
}

export type SteeringSource = 'trained' | 'difference' | 'refusal';

const SOURCES: readonly [SteeringSource, ...SteeringSource[]] = [
  'trained',
  'difference',
  'refusal',
];

/** h ← h + v after all layers or after one. */
export interface SteeringAdapter {
  kind: 'steering';
  layers: 'all' | 'one';
  /** Of `one`: which, as a share of the depth; 0 is the first layer. Its default with `refusal`. */
  depth: number;
  /**
   * `trained` by the objective; `difference` of mean activations, harmful less harmless prompts;
   * `refusal`, the one of those differences that makes the student refuse harmful prompts most and
   * changes harmless answers little: its layer is chosen by trial, so `layers` is `one`.
   */
  source: SteeringSource;
  /** What a difference is multiplied with; 1 when trained. Trials go up to twice as far. */
  scale: number;
}

/** The domain's written safety preamble in the system role: no training, a longer prompt. */
export interface PreambleAdapter {
  kind: 'preamble';
}

export type AdapterSpec = SoftPromptAdapter | LoraAdapter | SteeringAdapter | PreambleAdapter;
export type AdapterKind = AdapterSpec['kind'];

export const ADAPTER_KINDS: readonly [AdapterKind, ...AdapterKind[]] = [
  'soft-prompt',
  'lora',
  'steering',
  'preamble',
];
const TARGETS: readonly [LoraTarget, ...LoraTarget[]] = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'];
const DEFAULT_TARGETS: readonly LoraTarget[] = ['q', 'v'];

export const ADAPTER_RANGES = {
  n: { min: 1, max: 128, integer: true, default: 16 },
  /** r of the `rows` form. */
  rows: { min: 1, max: 256, integer: true, default: 20 },
  /** Length of θ of the `global` form. */
  global: { min: 1, max: 8192, integer: true, default: 512 },
  rank: { min: 1, max: 64, integer: true, default: 2 },
  alpha: { min: 0.01, max: 1024, integer: false, default: 4 },
  depth: { min: 0, max: 0.999, integer: false, default: 0.6 },
  scale: { min: -100, max: 100, integer: false, default: 1 },
} as const satisfies Record<string, NumberRange>;

/**
 * A whole adapter from a kind ("lora") or from fields; what is missing takes its default.
 * @throws SpecError
 */
export function parseAdapter(value: unknown, path = 'adapter'): AdapterSpec {
  const fields = typeof value === 'string' ? { kind: value } : fieldsOf(value, path);
  if (fields.kind === undefined) throw new SpecError(join(path, 'kind'), `${path} has no kind.`);
  const kind = choiceField(fields, 'kind', ADAPTER_KINDS, path);
  const number = (field: string, range: NumberRange) => numberField(fields, field, range, path);
  const spec = ((): AdapterSpec => {
    switch (kind) {
      case 'soft-prompt': {
        const form = choiceField(fields, 'form', ['full', 'rows', 'global'], path);
        const size =
          form === 'full'
            ? number('size', { min: 0, max: 0, integer: true, default: 0 })
            : number('size', ADAPTER_RANGES[form]);
        return { kind, n: number('n', ADAPTER_RANGES.n), form, size };
      }
      case 'lora': {
        const rank = number('rank', ADAPTER_RANGES.rank);
        // alpha = 2·rank keeps the learning rate's meaning over ranks.
        const alpha = number('alpha', { ...ADAPTER_RANGES.alpha, default: 2 * rank });
        return { kind, rank, alpha, targets: targetsOf(fields.targets, join(path, 'targets')) };
      }
      case 'steering': {
        const source = choiceField(fields, 'source', SOURCES, path);
        const layers = choiceField(fields, 'layers', ['all', 'one'], path);
        const depth = number('depth', ADAPTER_RANGES.depth);
        const { scale } = ADAPTER_RANGES;
        const chosen = source === 'refusal';
        return {
          kind,
          layers: chosen ? 'one' : layers,
          depth: chosen ? ADAPTER_RANGES.depth.default : depth,
          source,
          scale: number(
            'scale',
            source === 'trained' ? { min: 1, max: 1, integer: true, default: 1 } : scale,
          ),
        };
      }
      case 'preamble':
        return { kind };
    }
  })();
  onlyFields(fields, Object.keys(spec), path);
  return spec;
}

function targetsOf(value: unknown, path: string): LoraTarget[] {
  if (value === undefined) return [...DEFAULT_TARGETS];
  const given = listField(value, path, { min: 1, max: TARGETS.length }, (entry, at) => {
    const target = TARGETS.find((name) => name === entry);
    if (!target) throw new SpecError(at, `${at} must be one of ${TARGETS.join(', ')}.`);
    return target;
  });
  // One order, so that equal adapters have equal keys.
  return TARGETS.filter((target) => given.includes(target));
}

/** A short stable name: `soft-prompt16`, `soft-prompt16-rows20`, `lora2-a4-qv`, `steering-all`, … */
export function adapterKey(spec: AdapterSpec): string {
  switch (spec.kind) {
    case 'soft-prompt':
      return `soft-prompt${spec.n}${spec.form === 'full' ? '' : `-${spec.form}${spec.size}`}`;
    case 'lora':
      return `lora${spec.rank}-a${spec.alpha}-${spec.targets.join('')}`;
    case 'steering': {
      if (spec.source === 'refusal') return `steering-refusal${spec.scale}`;
      const where = spec.layers === 'all' ? 'all' : `one${spec.depth}`;
      return `steering-${where}${spec.source === 'trained' ? '' : `-difference${spec.scale}`}`;
    }
    case 'preamble':
      return 'preamble';
  }
}

/** Whether an objective decides what the adapter becomes. */
export function isTrained(spec: AdapterSpec): boolean {
  return !(spec.kind === 'preamble' || (spec.kind === 'steering' && spec.source !== 'trained'));
}

/** What parameter counts depend on. */
export interface DecoderShape {
  layers: number;
  dim: number;
  /** Query heads × head size. */
  queryDim: number;
  /** Key-value heads × head size. */
  keyDim: number;
  /** Hidden size of the MLP. */
  mlpDim: number;
}

/** Values that training changes; 0 where nothing is trained. */
export function trainedValues(spec: AdapterSpec, shape: DecoderShape): number {
  return isTrained(spec) ? storedValues(spec, shape) : 0;
}

/** Values that an adapter consists of, trained or not; 0 where it is a text. */
export function storedValues(spec: AdapterSpec, shape: DecoderShape): number {
  switch (spec.kind) {
    case 'soft-prompt':
      return { full: spec.n * shape.dim, rows: spec.n * spec.size, global: spec.size }[spec.form];
    case 'lora': {
      const perRank = spec.targets.reduce((sum, target) => sum + valuesPerRank(target, shape), 0);
      return spec.rank * shape.layers * perRank;
    }
    case 'steering':
      return shape.dim * (spec.layers === 'all' ? shape.layers : 1);
    case 'preamble':
      return 0;
  }
}

/** The LoRA rank whose count of values is nearest to `values`, at least 1 (METHOD.md §6). */
export function matchedRank(
  values: number,
  targets: readonly LoraTarget[],
  shape: DecoderShape,
): number {
  const perRank = targets.reduce((sum, target) => sum + valuesPerRank(target, shape), 0);
  return Math.max(1, Math.round(values / (shape.layers * perRank)));
}

/** Inputs plus outputs of a target: what A and B hold for one rank. */
function valuesPerRank(target: LoraTarget, shape: DecoderShape): number {
  const { dim, queryDim, keyDim, mlpDim } = shape;
  switch (target) {
    case 'q':
    case 'o':
      return dim + queryDim;
    case 'k':
    case 'v':
      return dim + keyDim;
    case 'gate':
    case 'up':
    case 'down':
      return dim + mlpDim;
  }
}
