/**
 * The run or sweep under way: one at a time, steered from outside, and looked at between two steps.
 */
import type { Adaptation } from '../../distill/adapters/adaptation';
import { RunControl, type RunState } from '../../distill/train/control';
import type { Recipe } from '../../distill/types';
import type { Lock } from '../runtime/lock';

/** Hands the GPU on between steps, so that a short answer need not wait. */
export class SharingControl extends RunControl {
  private release: () => void = () => undefined;

  constructor(
    private readonly gpuTurn: Lock,
    onState: (state: RunState) => void,
  ) {
    super(onState);
  }

  override async gate(signal?: AbortSignal): Promise<boolean> {
    this.letGo();
    try {
      return await super.gate(signal);
    } finally {
      this.release = await this.gpuTurn.acquire();
    }
  }

  /** @throws the signal's reason when aborted before its turn */
  async takeGpu(signal: AbortSignal): Promise<void> {
    this.release = await this.gpuTurn.acquire(signal);
  }

  letGo(): void {
    this.release();
  }
}

/** What is being trained, and what it has come to. */
interface Student {
  recipe: Recipe;
  look: () => Promise<Exclude<Adaptation, null>>;
}

export class RunUnderWay {
  private control: SharingControl | null = null;
  private student: Student | null = null;

  /**
   * @param jobs turns at loading, training and evaluating
   * @param gpuTurn turns at the GPU
   */
  constructor(
    private readonly jobs: Lock,
    private readonly gpuTurn: Lock,
  ) {}

  /**
   * Runs `job` in its turn; its steps pass the gate of the control that it is given.
   * @throws RangeError where another one is under way; the signal's reason when aborted before
   */
  async run<R>(
    job: (control: SharingControl) => Promise<R>,
    onState: (state: RunState) => void,
    signal: AbortSignal,
  ): Promise<R> {
    if (this.control) throw new RangeError('A run is under way already.');
    const own = new SharingControl(this.gpuTurn, onState);
    // Set before the first wait: a pause may follow at once.
    this.control = own;
    try {
      return await this.jobs.run(() => job(own), signal);
    } finally {
      this.control = null;
      this.student = null;
      own.letGo();
    }
  }

  /** Says what the run under way trains; asked only while it has let go of the GPU. */
  trains(recipe: Recipe, look: Student['look']): void {
    this.student = { recipe, look };
  }

  /**
   * The student of the run under way as it is now, with that run's own recipe. Call in a turn at the
   * GPU: training then waits.
   * @throws RangeError where nothing is being trained
   */
  async present(): Promise<{ recipe: Recipe; adaptation: Exclude<Adaptation, null> }> {
    if (!this.student) throw new RangeError('No run is under way, or it has not begun to train.');
    const { recipe, look } = this.student;
    return { recipe, adaptation: await look() };
  }

  pause(): void {
    this.control?.pause();
  }

  resume(): void {
    this.control?.resume();
  }

  /** One step while paused. */
  step(): void {
    this.control?.step();
  }

  stop(): void {
    this.control?.stop();
  }
}
