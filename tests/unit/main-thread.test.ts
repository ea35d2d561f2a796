// The main thread holds no model and no GPU: follows every import that pages run, not only the
// first one (which the linter sees), down to what it loads.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';
import { expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const FORBIDDEN_FILE = /^src\/(engine|kernels|cli)\/|\.worker\.ts$/;
const FORBIDDEN_PACKAGE = /^(@huggingface\/transformers|onnxruntime|webgpu(\/|$))/;

/** Modules that `path` loads when it runs: `import type` and worker addresses are none. */
function loadsOf(path: string): string[] {
  const text = readFileSync(path, 'utf8');
  const scripts = path.endsWith('.svelte')
    ? [...text.matchAll(/<script[^>]*>([\s\S]*?)<\/script>/g)].map((match) => match[1]!)
    : [text];
  return scripts.flatMap((script) => loadsOfScript(script));
}

function loadsOfScript(script: string): string[] {
  const loads: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && !node.importClause?.isTypeOnly) {
      loads.push((node.moduleSpecifier as ts.StringLiteral).text);
    }
    if (ts.isExportDeclaration(node) && node.moduleSpecifier && !node.isTypeOnly) {
      loads.push((node.moduleSpecifier as ts.StringLiteral).text);
    }
    const isDynamic =
      ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword;
    if (isDynamic && ts.isStringLiteralLike(node.arguments[0]!)) loads.push(node.arguments[0].text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('module.ts', script, ts.ScriptTarget.Latest));
  return loads;
}

/** The file that `specifier` means in `from`, or the bare name of a package. */
function target(specifier: string, from: string): string {
  const bare = specifier.replace(/\?.*$/, '');
  const base = bare.startsWith('$lib/')
    ? join(root, 'src/lib', bare.slice('$lib/'.length))
    : bare.startsWith('.')
      ? resolve(dirname(from), bare)
      : null;
  if (base === null) return specifier;
  const file = ['', '.ts', '/index.ts'].map((end) => base + end).find(isCode);
  if (!file && !existsSync(base)) throw new Error(`${from} imports ${specifier}: no such file.`);
  return file ?? specifier;
}

function isCode(path: string): boolean {
  return /\.(ts|svelte)$/.test(path) && existsSync(path);
}

/** What lies under `folder` and ends up in the pages' bundle. */
function pageFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(root, folder, name))
    .filter((path) => /\.(ts|svelte)$/.test(path) && !/\.test\.ts$/.test(path))
    .filter((path) => !/\/lib\/server\/|\.server\.ts$/.test(path));
}

/** Import chains, as text, from `entries` to whatever is forbidden on the main thread. */
function offences(entries: readonly string[]): string[] {
  const found: string[] = [];
  const seen = new Set<string>();
  const queue = entries.map((path) => ({ path, chain: relative(root, path) }));
  for (let next = queue.pop(); next; next = queue.pop()) {
    const { path, chain } = next;
    if (seen.has(path)) continue;
    seen.add(path);
    for (const specifier of loadsOf(path)) {
      const to = target(specifier, path);
      const name = to.startsWith(root) ? relative(root, to) : to;
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
  expect(loadsOfScript(script)).toEqual(['./b', './c', './d', './f']);
});
