// Every error that rooms below the pages show to others says itself what it is and whether whoever
// threw it is broken: an error that does not is an unknown fault, and costs its worker.
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const src = resolve(import.meta.dirname, '../../src');
const CLASS = /^export (?:abstract )?class (\w+) extends (\w*Error)\b([\s\S]*?)^}/gm;
/** Rooms whose errors end in a person's console and cross no border. */
const APART = /^cli\/|\.(test|testing|bench)\.ts$/;

interface ErrorClass {
  name: string;
  base: string;
  body: string;
}

const classes: ErrorClass[] = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts') && !APART.test(name))
  .flatMap((name) => [...readFileSync(join(src, name), 'utf8').matchAll(CLASS)])
  .map(([, name, base, body]) => ({ name: name!, base: base!, body: body! }));

test('errors are found', () => {
  expect(classes.length).toBeGreaterThan(30);
});

test('every exported error is a KnownError', () => {
  const known = new Set(['KnownError']);
  for (let before = 0; before < known.size;) {
    before = known.size;
    for (const { name, base } of classes) if (known.has(base)) known.add(name);
  }
  const others = classes.filter(({ name }) => !known.has(name)).map(({ name }) => name);
  expect(others).toEqual([]);
});

test('each that stands on KnownError names itself, as minified builds rename classes', () => {
  const nameless = classes.filter(
    ({ name, base, body }) => base === 'KnownError' && !body.includes(`= '${name}'`),
  );
  expect(nameless.map(({ name }) => name)).toEqual([]);
});
