/** A text classifier as a guard: which of its labels mean "safe", and how logits become P(safe). */
import { KnownError } from '../../formats/errors';

export interface LabelReading {
  /** In the order of the logits. */
  labels: string[];
  /** Indices of the labels that mean "safe"; none where every label names a harm. */
  safe: number[];
  /** One label is true, or each by itself. */
  activation: 'softmax' | 'sigmoid';
}

/** A classifier whose labels do not say what is safe; the message lists them. */
export class LabelError extends KnownError {
  override readonly name = 'LabelError';
  readonly errorCode = 'unsupported-model';
}

/** Names under which classifiers on the hub call a text harmless, in small letters. */
const SAFE_NAMES = new Set([
  'safe',
  'benign',
  'harmless',
  'ok',
  'normal',
  'neutral',
  'clean',
  'acceptable',
  'non-toxic',
  'not toxic',
  'nontoxic',
  'not_toxic',
  'non_toxic',
  'sfw',
]);
const MOST_LABELS = 1000;

/**
 * Reads id2label and problem_type of a config.json. `chosen` are the labels that a person (or the
 * catalogue) says mean "safe"; an empty list says that every label names a harm, which only makes
 * sense where each label is true or false by itself.
 * @throws LabelError
 */
export function readLabels(config: unknown, chosen?: readonly string[]): LabelReading {
  const fields = (config ?? {}) as { id2label?: unknown; problem_type?: unknown };
  const labels = labelList(fields.id2label);
  const sigmoid = fields.problem_type === 'multi_label_classification' || labels.length === 1;
  const activation = sigmoid ? 'sigmoid' : 'softmax';
  const named = (wanted: (label: string) => boolean) =>
    labels.flatMap((label, index) => (wanted(label) ? [index] : []));
  const known = named((label) => SAFE_NAMES.has(label.toLowerCase()));
  if (chosen === undefined || (chosen.length > 0 && !chosen.some((c) => labels.includes(c)))) {
    const missing = chosen ? `none of its labels is ${chosen.join(' or ')}` : null;
    if (missing === null && known.length > 0) return { labels, safe: known, activation };
    throw new LabelError(
      `Which label means "safe"? The model has ${labels.map((label) => `"${label}"`).join(', ')}` +
        `${missing ? ` (${missing})` : ''}. Choose one beside the guard.`,
    );
  }
  const safe = named((label) => chosen.includes(label));
  if (activation === 'softmax' && (safe.length === 0 || safe.length === labels.length)) {
    throw new LabelError('At least one label must mean "safe", and at least one must not.');
  }
  return { labels, safe, activation };
}

/**
 * P(safe) from one text's logits, [labels]: the safe labels' share of a softmax; of independent
 * labels the surest safe one, or what the surest harm leaves.
 */
export function safeProbability(logits: ArrayLike<number>, reading: LabelReading): number {
  const { safe, activation } = reading;
  const values = Array.from(logits);
  if (activation === 'sigmoid') {
    const each = values.map((value) => 1 / (1 + Math.exp(-value)));
    if (safe.length === 0) return 1 - Math.max(...each);
    return Math.max(...safe.map((index) => each[index]!));
  }
  const most = Math.max(...values);
  const weights = values.map((value) => Math.exp(value - most));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  // Two sums of the same weights may differ in their last digit.
  return Math.min(1, safe.reduce((sum, index) => sum + weights[index]!, 0) / total);
}

function labelList(id2label: unknown): string[] {
  if (typeof id2label !== 'object' || id2label === null) {
    throw new LabelError('The model’s config.json names no labels (id2label).');
  }
  const named = id2label as Record<string, unknown>;
  const count = Object.keys(named).length;
  if (count === 0 || count > MOST_LABELS) {
    throw new LabelError(`The model’s config.json names ${count} labels (id2label).`);
  }
  return Array.from({ length: count }, (_, index) => {
    const label = named[index];
    if (typeof label === 'string') return label;
    throw new LabelError(`The model’s config.json has no name for label ${index} (id2label).`);
  });
}
