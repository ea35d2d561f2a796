/** Seeded damage to good documents: whatever reads them must refuse it by name, or not be hurt. */

/** What no field expects. Odd `toString` and `valueOf` make implicit conversions throw. */
const HOSTILE: readonly unknown[] = [
  null,
  undefined,
  true,
  '',
  'x',
  '[x]',
  '\ud800',
  '__proto__',
  'constructor',
  'x'.repeat(5000),
  0,
  -1,
  0.5,
  1e308,
  Infinity,
  -Infinity,
  NaN,
  2 ** 53,
  [],
  [null],
  [[[]]],
  {},
  { toString: 1, valueOf: 1 },
  { toString: { length: 1e308 } },
  { length: 1e308 },
  { kind: {}, name: [] },
  JSON.parse('{"__proto__":{"name":"tv","kind":"lora"}}'),
];

type Random = () => number;
type Branch = Record<string, unknown> | unknown[];

function pick<T>(list: readonly T[], random: Random): T {
  return list[Math.floor(random() * list.length)]!;
}

/** Every list and object of `value`. */
function branches(value: unknown, found: Branch[] = []): Branch[] {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return found;
  found.push(value as Branch);
  for (const entry of Object.values(value)) branches(entry, found);
  return found;
}

/** A copy of `good` with one to three places changed: replaced, removed, doubled, added or moved. */
export function changedJson(good: unknown, random: Random): unknown {
  const root = { value: structuredClone(good) };
  for (let changes = 1 + Math.floor(random() * 3); changes > 0; changes--) {
    const all = branches(root);
    const branch = pick(all, random) as Record<string, unknown>;
    const key = pick(Object.keys(branch), random);
    switch (Math.floor(random() * 6)) {
      case 0:
        if (Array.isArray(branch) && key !== undefined) branch.splice(Number(key), 1);
        else if (branch !== root && key !== undefined) delete branch[key];
        break;
      case 1:
        if (Array.isArray(branch) && key !== undefined) branch.push(branch[Number(key)]);
        break;
      case 2:
        if (Array.isArray(branch)) branch.push(structuredClone(pick(HOSTILE, random)));
        else {
          const name = pick(['extra', 'toString', 'length'], random);
          branch[name] = structuredClone(pick(HOSTILE, random));
        }
        break;
      case 3:
        // Something right in a wrong place; a copy, so that nothing holds itself.
        if (key !== undefined) branch[key] = structuredClone(pick(all, random));
        break;
      default:
        if (key !== undefined) branch[key] = structuredClone(pick(HOSTILE, random));
    }
  }
  return root.value;
}

/** A text with one to three places cut, doubled, or overwritten. */
export function changedText(good: string, random: Random): string {
  let text = good;
  for (let changes = 1 + Math.floor(random() * 3); changes > 0; changes--) {
    const at = Math.floor(random() * (text.length + 1));
    const length = Math.floor(random() ** 3 * 40);
    const [before, part, after] = [text.slice(0, at), text.slice(at, at + length), text.slice(at)];
    const noise = pick(['"', '\\', '{', '[', ']', '}', ',', '-', '0', 'e', 'é', '\ud800'], random);
    switch (Math.floor(random() * 4)) {
      case 0:
        text = before + text.slice(at + length);
        break;
      case 1:
        text = before + part + after;
        break;
      case 2:
        text = before + noise + text.slice(at + 1);
        break;
      default:
        text = random() < 0.2 ? before : before + noise + after;
    }
  }
  return text;
}

/** Bytes with one to three of them changed, cut or doubled. */
export function changedBytes(good: Uint8Array, random: Random): Uint8Array {
  let bytes = Array.from(good);
  for (let changes = 1 + Math.floor(random() * 3); changes > 0; changes--) {
    const at = Math.floor(random() * bytes.length);
    switch (Math.floor(random() * 4)) {
      case 0:
        bytes.splice(at, 1 + Math.floor(random() ** 3 * 20));
        break;
      case 1:
        bytes.splice(at, 0, ...bytes.slice(at, at + Math.floor(random() ** 3 * 20)));
        break;
      case 2:
        if (random() < 0.1) bytes = bytes.slice(0, at);
        break;
      default:
        if (bytes.length > 0) bytes[at] = Math.floor(random() * 256);
    }
  }
  return Uint8Array.from(bytes);
}

/** The error that `read` threw, or null where it gave a value. */
export function errorOf(read: () => unknown): unknown {
  try {
    read();
    return null;
  } catch (error) {
    return error;
  }
}
