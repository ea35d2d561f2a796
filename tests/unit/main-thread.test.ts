// The main thread holds no model and no GPU: follows every import that pages run, not only the
// first one (which the linter sees), down to what it loads.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  codeUnder,
  importsOf,
  importsOfScript,
  isCode,
  relativePath,
  root,
  target,
} from './imports.testing';

const FORBIDDEN_FILE = /^src\/(engine|kernels|cli)\/|\.worker\.ts$/;
const FORBIDDEN_PACKAGE = /^(@huggingface\/transformers|onnxruntime|webgpu(\/|$))/;

/** What lies under `folder` and ends up in the pages' bundle. */
function pageFiles(folder: string): string[] {
  return codeUnder(folder).filter((path) => !/\/lib\/server\/|\.server\.ts$/.test(path));
}

/** Import chains, as text, from `entries` to whatever is forbidden on the main thread. */
function offences(entries: readonly string[]): string[] {
  const found: string[] = [];
  const seen = new Set<string>();
  const queue = entries.map((path) => ({ path, chain: relativePath(path) }));
  for (let next = queue.pop(); next; next = queue.pop()) {
    const { path, chain } = next;
    if (seen.has(path)) continue;
    seen.add(path);
    for (const specifier of importsOf(path, 'loads')) {
      const to = target(specifier, path);
      const name = to.startsWith(root) ? relativePath(to) : to;
      if (FORBIDDEN_FILE.test(name) || FORBIDDEN_PACKAGE.test(name)) {
        found.push(`${chain} → ${name}`);
      } else if (isCode(to)) {
        queue.push({ path: to, chain: `${chain} → ${name}` });
      }
    }
  }
  return found;
}

test('no page loads the engine, a kernel, transformers.js or onnxruntime', () => {
  const entries = [...pageFiles('src/routes'), ...pageFiles('src/lib')];
  expect(entries.length).toBeGreaterThan(20);
  expect(offences(entries)).toEqual([]);
});

test('the walk finds what workers load', () => {
  const from = (name: string) => offences([join(root, 'src/workers', name)]).join('\n');
  expect(from('trainer/trainer.worker.ts')).toContain('src/engine/engine.ts');
  expect(from('trainer/trainer.worker.ts')).toContain('src/kernels/gpu/gpu.ts');
  expect(from('runtime/student.worker.ts')).toContain('→ @huggingface/transformers');
  expect(from('client.ts')).toBe('');
});

test('types are no loads, values are', () => {
  const script = `
    import type { A } from './a';
    import { type B, b } from './b';
    import './c';
    export * from './d';
    export type { E } from './e';
    void import('./f');
    new Worker(new URL('./g', import.meta.url));`;
  expect(importsOfScript(script, 'loads')).toEqual(['./b', './c', './d', './f']);
});
