// Commands that start together and need the same build.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { locked } from './project.mjs';

let place = '';
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'retort-lock-'));
});
afterEach(() => rmSync(place, { recursive: true }));

test('wait for each other', async () => {
  const [lock, log] = [join(place, 'lock'), join(place, 'log')];
  const module = pathToFileURL(resolve(import.meta.dirname, 'project.mjs')).href;
  const script = `
    import { appendFileSync } from 'node:fs';
    import { locked } from '${module}';
    locked(${JSON.stringify(lock)}, () => {
      appendFileSync(${JSON.stringify(log)}, 'in ');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
      appendFileSync(${JSON.stringify(log)}, 'out ');
      return 0;
    });`;
  const children = [0, 1, 2].map(() =>
    spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'ignore' }),
  );
  await Promise.all(children.map((child) => new Promise((done) => child.on('exit', done))));
  expect(readFileSync(log, 'utf8')).toBe('in out in out in out ');
  expect(existsSync(lock)).toBe(false);
});

test('do not wait for one that has ended', () => {
  const lock = join(place, 'lock');
  const { pid } = spawnSync(process.execPath, ['--version']);
  writeFileSync(lock, String(pid));
  expect(locked(lock, () => 7)).toBe(7);
});

test('let go when they fail', () => {
  const lock = join(place, 'lock');
  const job = () => {
    throw new Error('failed');
  };
  expect(() => locked(lock, job)).toThrow('failed');
  expect(existsSync(lock)).toBe(false);
});
