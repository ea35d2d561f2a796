/** Whether something trained elsewhere, or before, belongs to the model that is loaded. */
import type { TrainerReady } from '../../../workers/wire/protocol';

export interface TrainedFor {
  modelId: string;
  /** As the link names it; null where nobody knows. */
  templateHash: string | null;
}

/** Why it would be noise here, as a sentence; null where it belongs. */
export function mismatch(
  { modelId, templateHash }: TrainedFor,
  loaded: Pick<TrainerReady, 'modelId' | 'templateHash'> | null,
): string | null {
  const here = loaded?.modelId ?? '';
  if (here !== modelId) {
    return `The prompt was trained for model ${modelId}; this page has ${here}. On another model it would be noise.`;
  }
  if (templateHash !== null && loaded?.templateHash !== templateHash) {
    return `The prompt was trained with the chat template ${templateHash}; conversations are now written with ${loaded?.templateHash}. Behind other words it would be noise: train it again.`;
  }
  return null;
}
