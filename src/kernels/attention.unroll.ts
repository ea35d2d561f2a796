/**
 * Unrolls WGSL text: `//@for x NAME` … `//@end` repeats its lines NAME times with `$x` replaced by
 * 0, 1, 2 …. Register arrays stay in registers only where every index is a constant, and WGSL
 * compilers do not promise to unroll.
 */
import { specialise, type Constants, type Flags } from './wgsl';

/** @throws RangeError where a loop names no constant or does not end. */
export function unroll(source: string, constants: Constants): string {
  const lines = source.split('\n');
  const [text, next] = expand(lines, 0, constants);
  if (next < lines.length) throw new RangeError('WGSL //@end without //@for.');
  return text.join('\n');
}

/** Flags first, so that an unrolled block may depend on them; then constants, then the loops. */
export function specialiseUnrolled(source: string, constants: Constants, flags: Flags): string {
  return unroll(specialise(source, constants, flags), constants);
}

/** Expands from line `at` to the matching `//@end`; returns the text and the line after it. */
function expand(lines: readonly string[], at: number, constants: Constants): [string[], number] {
  const out: string[] = [];
  while (at < lines.length) {
    const line = lines[at]!;
    if (/^\s*\/\/@end\b/.test(line)) return [out, at];
    const loop = /^\s*\/\/@for (\w+) (\w+)/.exec(line);
    if (!loop) {
      out.push(line);
      at++;
      continue;
    }
    const [, variable, name] = loop;
    const count = constants[name!];
    if (count === undefined) throw new RangeError(`WGSL //@for: no constant ${name}.`);
    const [body, end] = expand(lines, at + 1, constants);
    if (end >= lines.length) throw new RangeError(`WGSL //@for ${variable} without //@end.`);
    const pattern = new RegExp(`\\$${variable}`, 'g');
    for (let i = 0; i < count; i++) out.push(...body.map((l) => l.replace(pattern, String(i))));
    at = end + 1;
  }
  return [out, at];
}
