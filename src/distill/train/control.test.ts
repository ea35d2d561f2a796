import { expect, it } from 'vitest';
import { RunControl } from './control';

const settled = async (promise: Promise<unknown>) => {
  const pending = Symbol('pending');
  const turn = new Promise((resolve) => setTimeout(() => resolve(pending), 5));
  return (await Promise.race([promise, turn])) !== pending;
};

it('lets a running loop pass and holds a paused one', async () => {
  const states: string[] = [];
  const control = new RunControl((state) => states.push(state));
  expect(await control.gate()).toBe(true);
  control.pause();
  control.pause();
  const waiting = control.gate();
  expect(await settled(waiting)).toBe(false);
  control.resume();
  expect(await waiting).toBe(true);
  expect(states).toEqual(['paused', 'running']);
});

it('lets one step pass for each press of Step', async () => {
  const control = new RunControl();
  control.step();
  expect(await control.gate()).toBe(true);
  const second = control.gate();
  expect(await settled(second)).toBe(false);
  control.step();
  expect(await second).toBe(true);
  expect(control.state).toBe('paused');
});

it('ends a paused loop on stop and on cancel', async () => {
  const stopped = new RunControl();
  stopped.pause();
  const ending = stopped.gate();
  stopped.stop();
  expect(await ending).toBe(false);

  const cancel = new AbortController();
  const cancelled = new RunControl();
  cancelled.pause();
  const waiting = cancelled.gate(cancel.signal);
  cancel.abort();
  await expect(waiting).rejects.toThrow(/abort/i);
});
