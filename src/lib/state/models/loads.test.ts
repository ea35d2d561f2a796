import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Loads } from './loads';

/** Loads that end when they are told, as a test says; `deaf` ones hear no signal. */
function started({ deaf = false } = {}) {
  const opened: { finish: () => void; fail: (error: Error) => void; signal: AbortSignal }[] = [];
  const cutOff: string[] = [];
  const loads = new Loads<string>({
    open: (_, signal) =>
      new Promise((resolve, reject) => {
        opened.push({ finish: resolve, fail: reject, signal });
        if (!deaf) signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
    cutOff: (key) => {
      cutOff.push(key);
      loads.lose(key);
      opened.at(-1)!.fail(new Error('The worker was ended.'));
    },
  });
  return { loads, opened, cutOff };
}

const cancelled = { code: 'cancelled' };
const turn = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('a load that several wait for', () => {
  it('happens once, and stays loaded', async () => {
    const { loads, opened } = started();
    const waits = [loads.wait('a'), loads.wait('a')];
    await turn();
    expect(opened).toHaveLength(1);
    opened[0]!.finish();
    await Promise.all(waits);
    await loads.wait('a');
    expect(opened).toHaveLength(1);
  });

  it.each(['first', 'second'])('goes on for the other when the %s cancels', async (who) => {
    const { loads, opened } = started();
    const abort = new AbortController();
    const signals = who === 'first' ? [abort.signal, undefined] : [undefined, abort.signal];
    const [first, second] = signals.map((signal) => loads.wait('a', signal));
    const [leaving, staying] = who === 'first' ? [first!, second!] : [second!, first!];
    await turn();
    abort.abort();
    await expect(leaving).rejects.toMatchObject(cancelled);
    expect(opened[0]!.signal.aborted).toBe(false);
    opened[0]!.finish();
    await staying;
  });

  it('ends when nobody waits, and the next wait starts anew', async () => {
    const { loads, opened, cutOff } = started();
    const aborts = [new AbortController(), new AbortController()];
    const waits = aborts.map(({ signal }) => loads.wait('a', signal));
    await turn();
    for (const [i, abort] of aborts.entries()) {
      abort.abort();
      await expect(waits[i]).rejects.toMatchObject(cancelled);
    }
    expect(opened[0]!.signal.aborted).toBe(true);
    const again = loads.wait('a');
    await turn();
    opened[1]!.finish();
    await again;
    await vi.advanceTimersByTimeAsync(5000);
    expect(cutOff).toEqual([]);
  });

  it('ends a wait at once even where the load hears nothing, and cuts it off soon after', async () => {
    const { loads, opened, cutOff } = started({ deaf: true });
    const abort = new AbortController();
    const wait = loads.wait('a', abort.signal);
    await turn();
    abort.abort();
    await expect(wait).rejects.toMatchObject(cancelled);
    // The next load waits for the end of the one before: it may be in the same worker.
    const again = loads.wait('a');
    await turn();
    expect(opened).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1000);
    expect(cutOff).toEqual(['a']);
    expect(opened).toHaveLength(2);
    opened[1]!.finish();
    await again;
  });

  it('that is deaf and wanted by nobody is cut off', async () => {
    const { loads, opened, cutOff } = started({ deaf: true });
    const abort = new AbortController();
    const wait = loads.wait('a', abort.signal);
    await turn();
    abort.abort();
    await expect(wait).rejects.toMatchObject(cancelled);
    await vi.advanceTimersByTimeAsync(1000);
    expect(cutOff).toEqual(['a']);
    const again = loads.wait('a');
    await turn();
    opened[1]!.finish();
    await again;
  });

  it('that fails tells all, and is tried again by the next', async () => {
    const { loads, opened } = started();
    const waits = [loads.wait('a'), loads.wait('a')];
    await turn();
    opened[0]!.fail(new Error('offline'));
    for (const wait of waits) await expect(wait).rejects.toThrow('offline');
    const again = loads.wait('a');
    await turn();
    opened[1]!.finish();
    await again;
  });

  it('that is forgotten is told to end, and is no business of the next', async () => {
    const { loads, opened, cutOff } = started({ deaf: true });
    const old = loads.wait('a');
    await turn();
    loads.forget('a');
    expect(opened[0]!.signal.aborted).toBe(true);
    const next = loads.wait('a');
    await turn();
    opened[0]!.fail(new Error('The worker was ended.'));
    await expect(old).rejects.toThrow('ended');
    await vi.advanceTimersByTimeAsync(5000);
    expect(cutOff).toEqual([]);
    opened[1]!.finish();
    await next;
    await loads.wait('a');
    expect(opened).toHaveLength(2);
  });

  it('is not begun by one who has cancelled already', async () => {
    const { loads, opened } = started();
    await expect(loads.wait('a', AbortSignal.abort())).rejects.toMatchObject(cancelled);
    expect(opened).toEqual([]);
  });
});
