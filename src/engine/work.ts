/**
 * How much work goes into one submit. Watchdogs reset a GPU that is busy for seconds, and a desktop
 * freezes for as long as one submit takes: on graphics hardware none gets more than about 50 ms of
 * estimated work, at a rate that is measured once. A software adapter has no watchdog and draws no
 * desktop; there a submit may take half a second at an assumed rate.
 */
import { encode, type Gpu, type Op, type Span } from '../kernels/gpu/gpu';

/** Seconds of work of one submit. */
const HARDWARE_SECONDS = 0.05;
const SOFTWARE_SECONDS = 0.5;
/** What two cores do on a software adapter, operations a second. */
const SOFTWARE_RATE = 5e9;
/** Assumed of hardware until it is measured: an integrated GPU of 2018. */
const HARDWARE_RATE = 1e11;
/** A probe that has run this long says enough; one of its dispatches is this much work at most. */
const PROBE_MS = 8;
const PROBE_WORK = 5e8;

/**
 * `op` with its floating-point operations at the present spans; `rows`: may be run row by row, and
 * `work` is asked for parts of them as well.
 */
export function withWork(op: Op, work: NonNullable<Op['work']>, rows?: Span): Op {
  return { ...op, work, ...(rows && { rows }) };
}

/** Submits lists of operations in parts of bounded work. */
export class Submitter {
  private rate: number;
  /** Estimated seconds that one submit may take. */
  readonly seconds: number;
  private measured = false;

  constructor(private readonly gpu: Gpu) {
    const { isFallbackAdapter } = gpu.description;
    this.rate = isFallbackAdapter ? SOFTWARE_RATE : HARDWARE_RATE;
    this.seconds = isFallbackAdapter ? SOFTWARE_SECONDS : HARDWARE_SECONDS;
  }

  /** Most floating-point operations of one submit. */
  get limit(): number {
    return this.rate * this.seconds;
  }

  /** Sets the rate by hand, operations a second: for tests and for known adapters. */
  assume(rate: number): void {
    this.rate = rate;
    this.measured = true;
  }

  /**
   * Measures the rate with `op`, on as many rows of its span as a slow adapter can take, once; a
   * software adapter's is assumed. Overwrites what `op` writes.
   */
  async calibrate(op: Op): Promise<void> {
    if (this.measured || this.gpu.description.isFallbackAdapter || !op.work || !op.rows) return;
    this.measured = true;
    const { start, rows } = op.rows;
    op.rows.set(start, Math.min(rows, Math.ceil((rows * PROBE_WORK) / op.work())));
    this.rate = await this.measure(op, op.work());
    op.rows.set(start, rows);
  }

  private async measure(op: Op, work: number): Promise<number> {
    const { queue } = this.gpu.device;
    const timed = async (repeats: number) => {
      const start = performance.now();
      this.gpu.run(new Array<Op>(repeats).fill(op), 'probe');
      await queue.onSubmittedWorkDone();
      return performance.now() - start;
    };
    await timed(1);
    const once = await timed(1);
    if (once >= PROBE_MS) return (1000 * work) / once;
    // What a wait costs by itself must not count: only what more repeats take longer.
    for (let repeats = 8; ; repeats *= 4) {
      const more = (await timed(repeats)) - once;
      if (more < PROBE_MS && repeats < 2048) continue;
      return (1000 * work * (repeats - 1)) / Math.max(more, 0.1);
    }
  }

  /** Runs `ops` in order, in as many submits as their work asks for. */
  run(ops: readonly Op[], label = 'run'): void {
    let part: Op[] = [];
    let work = 0;
    const flush = () => {
      if (part.length > 0) this.gpu.run(part, label);
      part = [];
      work = 0;
    };
    for (const op of ops) {
      const cost = op.work?.() ?? 0;
      if (work + cost > this.limit) flush();
      if (cost > this.limit && op.rows && op.rows.rows > 1) {
        this.runByRows(op, op.rows, label);
        continue;
      }
      part.push(op);
      work += cost;
    }
    flush();
  }

  /** One large operation, some of its rows at a time. */
  private runByRows(op: Op, span: Span, label: string): void {
    const { start, rows } = span;
    const end = start + rows;
    for (let from = start; from < end;) {
      const count = this.fitting(op, from, end - from);
      span.set(from, count);
      this.gpu.run([op], label);
      from += count;
    }
    span.set(start, rows);
  }

  /** Most of `rows` rows from `start` on that one submit may take, at least one. */
  private fitting(op: Op, start: number, rows: number): number {
    let fits = 1;
    let over = rows + 1;
    while (over - fits > 1) {
      const middle = Math.floor((fits + over) / 2);
      if (op.work!({ start, rows: middle }) <= this.limit) fits = middle;
      else over = middle;
    }
    return fits;
  }

  /** As `run` for what is repeated `times` with `after` recorded behind each repeat, as decoding is. */
  repeat(
    ops: readonly Op[],
    times: number,
    after: (encoder: GPUCommandEncoder, time: number) => void,
    label: string,
  ): void {
    const cost = ops.reduce((sum, op) => sum + (op.work?.() ?? 0), 0);
    const each = Math.max(1, Math.floor(this.limit / Math.max(1, cost)));
    for (let done = 0; done < times; done += each) {
      if (cost > this.limit) {
        this.run(ops, label);
        const encoder = this.gpu.device.createCommandEncoder({ label });
        after(encoder, done);
        this.gpu.submit(encoder);
        continue;
      }
      const encoder = this.gpu.device.createCommandEncoder({ label });
      for (let time = done; time < Math.min(times, done + each); time++) {
        const pass = encoder.beginComputePass({ label });
        for (const op of ops) encode(pass, op);
        pass.end();
        after(encoder, time);
      }
      this.gpu.submit(encoder);
    }
  }
}
