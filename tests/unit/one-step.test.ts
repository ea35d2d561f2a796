// docs/one-step.md walks a training step by symbol; every name must be where it says.
import { existsSync, readFileSync } from 'node:fs';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const text = readFileSync('docs/one-step.md', 'utf8');

/** "12. `file`: words with `names`", over several lines. */
const hops = [...text.matchAll(/^\d+\. `([^`]+)`:((?:.|\n(?= {3}))*)/gm)].map(
  ([, file, words]) => [file!, words!] as const,
);
const symbolsIn = (words: string) =>
  [...words.matchAll(/`([A-Za-z_]\w*(?:\.\w+)?)`/g)].map(([, name]) => name!);

/** Names that a module hands out or defines at its top, each with the members of what it names. */
function definitions(file: string): Map<string, Set<string>> {
  const source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest);
  const found = new Map<string, Set<string>>();
  const nameOf = (node: { name?: ts.Node }) => node.name?.getText(source) ?? '';
  const membersOf = (node: ts.Node): string[] => {
    if (ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node)) {
      return [...node.members].map(nameOf);
    }
    if (ts.isObjectLiteralExpression(node)) return node.properties.map(nameOf);
    return [];
  };
  for (const node of source.statements) {
    if (ts.isVariableStatement(node)) {
      for (const { name, initializer } of node.declarationList.declarations) {
        const members = initializer ? membersOf(initializer) : [];
        found.set(name.getText(source), new Set(members));
      }
    } else if (
      ts.isFunctionDeclaration(node) ||
      ts.isClassDeclaration(node) ||
      ts.isInterfaceDeclaration(node) ||
      ts.isTypeAliasDeclaration(node)
    ) {
      found.set(nameOf(node), new Set(membersOf(node)));
    }
  }
  return found;
}

/** The file beside `hop` or anywhere that words name as "of name.ts". */
const elsewhere = (words: string) =>
  new Set([...words.matchAll(/`(\w+)` of\s+[\w-]+\.ts/g)].map(([, name]) => name!));

describe('docs/one-step.md', () => {
  it('goes from the button to Adam', () => {
    const files = hops.map(([file]) => file);
    expect(files[0]).toBe('src/lib/components/lab/RunControls.svelte');
    expect(files.at(-1)).toBe('src/kernels/adam/adam.ts');
    const room = (name: string) => files.findIndex((file) => file.startsWith(`src/${name}/`));
    const rooms = ['lib', 'workers', 'distill', 'engine', 'kernels'].map(room);
    expect(rooms).toEqual([...rooms].sort((a, b) => a - b));
  });

  it.each(hops)('is right about %s', (file, words) => {
    expect(existsSync(file), file).toBe(true);
    const names = symbolsIn(words).filter((name) => !elsewhere(words).has(name));
    if (file.endsWith('.svelte')) {
      const content = readFileSync(file, 'utf8');
      for (const name of names) expect(content, name).toContain(`${name}(`);
      return;
    }
    const defined = definitions(file);
    const checked = names.filter((name) => {
      const [first, member] = name.split('.');
      // Words of a protocol, like the request `train`, are no definitions.
      if (!defined.has(first!) && member === undefined && /^[a-z]+$/.test(name)) {
        expect(readFileSync(file, 'utf8'), name).toContain(`'${name}'`);
        return false;
      }
      expect([...defined.keys()], `${name} in ${file}`).toContain(first);
      if (member) expect([...defined.get(first!)!], `${name} in ${file}`).toContain(member);
      return true;
    });
    expect(checked.length, 'names at this hop').toBeGreaterThan(0);
  });

  it('names no file that is not there, and no name of another file that is not in it', () => {
    for (const [path] of text.matchAll(/(?:src|tests)\/[\w./+-]*\w/g)) {
      expect(existsSync(path), path).toBe(true);
    }
    const others = [...text.matchAll(/`(\w+)` of\s+([\w-]+\.ts)/g)];
    expect(others.length).toBeGreaterThan(0);
    const files = ['src/distill/', 'src/distill/train/', 'src/engine/'];
    for (const [, name, base] of others) {
      const file = files.map((folder) => folder + base!).find((path) => existsSync(path));
      expect(file, base).toBeDefined();
      expect([...definitions(file!).keys()], `${name} in ${file}`).toContain(name);
    }
  });
});
