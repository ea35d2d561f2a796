// No file needs itself: a reader can take the files of a room in an order in which each builds only
// on those before it. Type imports count, since they tie readers as values tie programs.
import { expect, test } from 'vitest';
import { codeUnder, importsOf, isCode, relativePath, target } from './imports.testing';

/** Groups of nodes that reach each other (Tarjan's strongly connected components), singles apart. */
function circles(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = [];
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const onStack = new Set<string>();
  const visit = (node: string): void => {
    index.set(node, index.size);
    low.set(node, index.get(node)!);
    stack.push(node);
    onStack.add(node);
    for (const next of edges.get(node) ?? []) {
      if (!index.has(next)) {
        visit(next);
        low.set(node, Math.min(low.get(node)!, low.get(next)!));
      } else if (onStack.has(next)) {
        low.set(node, Math.min(low.get(node)!, index.get(next)!));
      }
    }
    if (low.get(node) !== index.get(node)) return;
    const group = stack.splice(stack.indexOf(node));
    for (const member of group) onStack.delete(member);
    if (group.length > 1 || (edges.get(node) ?? []).includes(node)) found.push(group.sort());
  };
  for (const node of edges.keys()) if (!index.has(node)) visit(node);
  return found;
}

test('no circle of imports, types included', () => {
  const files = ['src', 'bench', 'tools/study'].flatMap(codeUnder);
  expect(files.length).toBeGreaterThan(400);
  const edges = new Map(
    files.map((path) => [
      relativePath(path),
      importsOf(path, 'loads and types')
        .map((specifier) => target(specifier, path))
        .filter(isCode)
        .map(relativePath),
    ]),
  );
  expect(circles(edges)).toEqual([]);
});

test('the search finds circles', () => {
  const graph = (edges: Record<string, string[]>) => circles(new Map(Object.entries(edges)));
  expect(graph({ a: ['b', 'c'], b: ['c'], c: [] })).toEqual([]);
  expect(graph({ a: ['b'], b: ['c'], c: ['a', 'd'], d: ['d'], e: ['a'] })).toEqual([
    ['d'],
    ['a', 'b', 'c'],
  ]);
});

test('a type import is an import', () => {
  const path = codeUnder('src/distill').find((name) => name.endsWith('/distill/types.ts'))!;
  expect(importsOf(path, 'loads and types')).toContain('./adapters/adapter-spec');
  expect(importsOf(path, 'loads')).toEqual([]);
});
