/**
 * Repeats WGSL lines textually. Register tiles must be named variables: a software adapter keeps
 * an indexed `array` in memory, and no WGSL compiler promises to unroll a loop.
 *
 * `//#repeat r ROWS` … `//#done` writes the lines between once for r = 0 … ROWS − 1 and replaces
 * `$r` by the number; a count may also be a literal. Repeats nest. In the result `{4*1+2}`, a sum
 * of products of numbers in braces, is replaced by its value.
 *
 * @throws RangeError where a repeat does not end or its count has no value.
 */
export function unroll(source: string, counts: Readonly<Record<string, number>>): string {
  const lines = source.split('\n');
  let at = 0;

  function block(nested: boolean): string[] {
    const out: string[] = [];
    while (at < lines.length) {
      const line = lines[at++]!;
      const repeat = /^\s*\/\/#repeat (\w+) (\w+)\s*$/.exec(line);
      if (repeat) {
        const [, variable, name] = repeat;
        const count = /^\d+$/.test(name!) ? Number(name) : counts[name!];
        if (count === undefined) throw new RangeError(`WGSL repeat count ${name} has no value.`);
        const body = block(true).join('\n');
        for (let i = 0; i < count; i++) out.push(body.replaceAll(`$${variable}`, String(i)));
      } else if (/^\s*\/\/#done\s*$/.test(line)) {
        if (!nested) throw new RangeError('WGSL //#done without //#repeat.');
        return out;
      } else {
        out.push(line);
      }
    }
    if (nested) throw new RangeError('WGSL //#repeat without //#done.');
    return out;
  }

  return block(false)
    .join('\n')
    .replace(/\{([\d+*]+)\}/g, (_, sum: string) => String(value(sum)));
}

/** Value of a sum of products, such as `4*1+2`. */
function value(sum: string): number {
  return sum
    .split('+')
    .map((product) => product.split('*').reduce((left, factor) => left * Number(factor), 1))
    .reduce((left, term) => left + term, 0);
}
