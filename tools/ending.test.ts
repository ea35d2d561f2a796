import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { EndedError, unlessEnded } from './ending.mjs';

/** A command that starts a child for each of three rounds, as a bench starts browsers. */
const COMMAND = `
  import { spawn } from 'node:child_process';
  import { EndedError, endOnSignal, unlessEnded } from './tools/ending.mjs';
  const ended = endOnSignal();
  try {
    for (let round = 0; round < 3; round++) {
      ended.throwIfAborted();
      const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
      console.log(child.pid);
      try {
        await unlessEnded(ended, new Promise(() => setTimeout(() => {}, 60000)));
      } catch (error) {
        if (error instanceof EndedError) throw error;
      } finally {
        child.kill();
      }
    }
  } catch (error) {
    process.exit(error.exitCode);
  }
`;

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition() && waited < 10_000; waited += 50) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

describe('a command that is ended', () => {
  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const)(
    'by %s ends what it started, and starts nothing again',
    async (signal, code) => {
      const command = spawn(process.execPath, ['--input-type=module', '-e', COMMAND]);
      const pids: number[] = [];
      createInterface(command.stdout).on('line', (line) => pids.push(Number(line)));
      await until(() => pids.length > 0);
      expect(runs(pids[0]!)).toBe(true);
      command.kill(signal);
      const [exit] = (await once(command, 'exit')) as [number | null];
      expect(exit).toBe(code);
      await until(() => !runs(pids[0]!));
      expect(pids.map(runs)).toEqual([false]);
    },
    30_000,
  );

  it('leaves work that goes on, and not work that is done', async () => {
    const abort = new AbortController();
    expect(await unlessEnded(abort.signal, Promise.resolve(7))).toBe(7);
    const endless = unlessEnded(abort.signal, new Promise(() => undefined));
    abort.abort(new EndedError('SIGTERM'));
    await expect(endless).rejects.toThrow('Ended by SIGTERM.');
    await expect(unlessEnded(abort.signal, new Promise(() => undefined))).rejects.toThrow(
      EndedError,
    );
  });
});
