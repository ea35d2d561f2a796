import { KnownError } from '../formats/errors';

/** The caller's AbortSignal ended the work. */
export class CancelledError extends KnownError {
  override readonly name = 'CancelledError';
  readonly errorCode = 'cancelled';
  constructor() {
    super('Cancelled.');
  }
}

/** A prompt and its answer need more positions than the model or the cache has. */
export class SequenceTooLongError extends KnownError {
  override readonly name = 'SequenceTooLongError';
  readonly errorCode = 'bad-input';
  constructor(
    readonly promptTokens: number,
    readonly newTokens: number,
    readonly room: number,
  ) {
    super(
      `A prompt of ${promptTokens} tokens and an answer of up to ${newTokens} do not fit the ${room} positions there are. Shorten the prompt.`,
    );
  }
}

/** Two paths of one example give their shared first position different targets. */
export class TargetMismatchError extends KnownError {
  override readonly name = 'TargetMismatchError';
  readonly errorCode = 'internal';
  constructor(readonly example: number) {
    super(`The paths of example ${example} disagree about the target of their first token.`);
  }
}

/** Loss or gradient stopped being a number: the learning rate is too high for this recipe. */
export class DivergedError extends KnownError {
  override readonly name = 'DivergedError';
  readonly errorCode = 'bad-input';
  constructor() {
    super('Training diverged: the loss is not a number any more. Lower the learning rate.');
  }
}

/** What was asked for cannot fit the device or the budget; nothing was allocated. */
export class MemoryPlanError extends KnownError {
  override readonly name = 'MemoryPlanError';
  readonly errorCode = 'memory';
  constructor(
    message: string,
    /** The least bytes that would do. */
    readonly neededBytes: number,
    /** The bytes that may be used. */
    readonly allowedBytes: number,
  ) {
    super(message);
  }
}
