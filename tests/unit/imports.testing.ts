// Follows imports through the tree as the bundler would, for tests of what may reach what.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import ts from 'typescript';

export const root = resolve(import.meta.dirname, '../..');

/** Loads happen when a module runs; `import type` and worker addresses are none. */
export type ImportKind = 'loads' | 'loads and types';

/** Modules that the file `path` imports, as written there. */
export function importsOf(path: string, kind: ImportKind): string[] {
  const text = readFileSync(path, 'utf8');
  const scripts = path.endsWith('.svelte')
    ? [...text.matchAll(/<script[^>]*>([\s\S]*?)<\/script>/g)].map((match) => match[1]!)
    : [text];
  return scripts.flatMap((script) => importsOfScript(script, kind));
}

/** Modules that a script imports, as written there. */
export function importsOfScript(script: string, kind: ImportKind): string[] {
  const found: string[] = [];
  const withTypes = kind === 'loads and types';
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && (withTypes || !node.importClause?.isTypeOnly)) {
      found.push((node.moduleSpecifier as ts.StringLiteral).text);
    }
    if (ts.isExportDeclaration(node) && node.moduleSpecifier && (withTypes || !node.isTypeOnly)) {
      found.push((node.moduleSpecifier as ts.StringLiteral).text);
    }
    if (withTypes && ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      found.push((node.argument.literal as ts.StringLiteral).text);
    }
    const isDynamic =
      ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword;
    if (isDynamic && ts.isStringLiteralLike(node.arguments[0]!)) found.push(node.arguments[0].text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('module.ts', script, ts.ScriptTarget.Latest));
  return found;
}

/** The file that `specifier` means in `from`, or the bare name of a package. */
export function target(specifier: string, from: string): string {
  const bare = specifier.replace(/\?.*$/, '');
  const base = bare.startsWith('$lib/')
    ? join(root, 'src/lib', bare.slice('$lib/'.length))
    : bare.startsWith('.')
      ? resolve(dirname(from), bare)
      : null;
  if (base === null) return specifier;
  const file = ['', '.ts', '/index.ts'].map((end) => base + end).find(isCode);
  // A page's own types are written by the framework, not kept in the tree.
  if (!file && !existsSync(base) && bare !== './$types') {
    throw new Error(`${from} imports ${specifier}: no such file.`);
  }
  return file ?? specifier;
}

export function isCode(path: string): boolean {
  return /\.(ts|svelte)$/.test(path) && existsSync(path);
}

/** Every script and component under `folder`, tests apart; absolute. */
export function codeUnder(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(root, folder, name))
    .filter((path) => /\.(ts|svelte)$/.test(path) && !/\.(test|bench)\.ts$/.test(path));
}

export function relativePath(path: string): string {
  return relative(root, path);
}
