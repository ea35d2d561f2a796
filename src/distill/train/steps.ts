/** One face for the families of objectives, for the training loop. */
import type { StepMetrics } from '../../engine/types';
import type { LearnerOptions } from './learner';
import type { ValueState } from '../objectives/value-head';
import type { PolicyNumbers } from '../types';

export interface StepOutcome extends StepMetrics {
  /** Packed positions, the soft prompt not counted. */
  rows: number;
  /** Of the student's own answers, where it learns from them. */
  policy?: PolicyNumbers;
}

export interface Steps {
  /**
   * Trains step `step` (from 0).
   * @throws the signal's reason when aborted
   */
  next(step: number, options: LearnerOptions, signal?: AbortSignal): Promise<StepOutcome>;
  /**
   * Whether a run can go on after `step` steps from values and optimiser alone: not in the middle of
   * the steps that share their answers. Always, where it is not given.
   */
  between?(step: number): boolean;
  /** PPO's value head. */
  readonly valueHead?: ValueState;
}
