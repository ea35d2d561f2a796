/**
 * Remembers what the frozen student says along an example's paths: from the second epoch on a step
 * needs no teacher pass. Least recently used first out, by bytes.
 */
import type { TeacherPath } from '../../engine/types';

export type Taught = readonly TeacherPath[];

export class TeacherCache {
  /** Bytes of the hidden states and log-probabilities held. */
  bytes = 0;
  private readonly entries = new Map<number, Taught>();

  constructor(private readonly maxBytes: number) {}

  get size(): number {
    return this.entries.size;
  }

  get(index: number): Taught | undefined {
    const entry = this.entries.get(index);
    if (entry) {
      this.entries.delete(index);
      this.entries.set(index, entry);
    }
    return entry;
  }

  set(index: number, entry: Taught): void {
    const size = bytesOf(entry);
    this.remove(index);
    if (size > this.maxBytes) return;
    while (this.bytes + size > this.maxBytes) {
      const oldest = this.entries.keys().next();
      if (oldest.done) break;
      this.remove(oldest.value);
    }
    this.entries.set(index, entry);
    this.bytes += size;
  }

  private remove(index: number): void {
    const entry = this.entries.get(index);
    if (!entry) return;
    this.entries.delete(index);
    this.bytes -= bytesOf(entry);
  }
}

function bytesOf(teacher: Taught): number {
  return teacher.reduce((sum, path) => sum + path.hidden.byteLength + path.logProbs.byteLength, 0);
}
