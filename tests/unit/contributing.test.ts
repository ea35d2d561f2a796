// CONTRIBUTING.md names files and what is in them; both must be there.
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ADAPTER_KINDS } from '../../src/distill/adapters/adapter-spec';
import { OBJECTIVES } from '../../src/distill/objectives/catalogue';
import { OBJECTIVE_NAMES } from '../../src/distill/objectives/spec';
import { KIND_LABELS } from '../../src/lib/charts/facets';

const text = readFileSync('CONTRIBUTING.md', 'utf8');

/** "- `file`: words with `names` in them", over several lines. */
const entries = [...text.matchAll(/^- `([^`]+)`((?:.|\n(?= {2}))*)/gm)].map(
  ([, file, words]) => [file!, words!] as const,
);
const namesIn = (words: string) =>
  [...words.matchAll(/`([A-Za-z_]\w*)`/g)].map(([, name]) => name!);

describe('CONTRIBUTING.md', () => {
  it('lists files', () => {
    expect(entries.length).toBeGreaterThan(60);
  });

  it.each(entries)('is right about %s', (file, words) => {
    expect(existsSync(file), file).toBe(true);
    const content = readFileSync(file, 'utf8');
    for (const name of namesIn(words)) {
      expect(new RegExp(`\\b${name}\\b`).test(content), `${name} in ${file}`).toBe(true);
    }
  });

  it('names no file besides that is not there', () => {
    const paths = [...text.matchAll(/(?:src|tests|tools|bench)\/[\w./+-]*[\w]/g)];
    expect(paths.length).toBeGreaterThan(entries.length);
    for (const [path] of paths) expect(existsSync(path), path).toBe(true);
  });

  it('shows the rooms as they are', () => {
    const rooms = [...text.matchAll(/^(\w+)\/ {2,}(.*)$/gm)];
    expect(rooms.map(([, room]) => room)).toContain('distill');
    for (const [, room, inside] of rooms) {
      expect(existsSync(`src/${room}`), room).toBe(true);
      for (const [, folder] of inside!.matchAll(/(\w+)\//g)) {
        const places = [`src/${room}/${folder}`, `src/${room}/state/${folder}`];
        expect(
          places.some((place) => existsSync(place)),
          `${room}/${folder}`,
        ).toBe(true);
      }
    }
  });
});

it('every objective and adapter that has words is one of the list', () => {
  expect([...OBJECTIVE_NAMES].sort()).toEqual(Object.keys(OBJECTIVES).sort());
  expect([...ADAPTER_KINDS].sort()).toEqual(Object.keys(KIND_LABELS).sort());
});
