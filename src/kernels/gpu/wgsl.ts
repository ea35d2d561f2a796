/**
 * Specialises WGSL text: constants become a header, `//#if NAME` … `//#else` … `//#end` lines choose
 * variants. Flags become separate pipelines because a software adapter does not skip branches that
 * are not taken, and because register arrays need sizes known when the shader is compiled.
 */
export type Constants = Readonly<Record<string, number>>;
export type Flags = Readonly<Record<string, boolean>>;

/**
 * Integers become `const NAME = 12u;`, other numbers `const NAME = 0.5f;`. Write a float that
 * happens to be whole as `NAME_F: value` with a name that ends in `_F`.
 */
export function specialise(source: string, constants: Constants = {}, flags: Flags = {}): string {
  const header = Object.entries(constants).map(([name, value]) => {
    if (!Number.isFinite(value)) throw new RangeError(`WGSL constant ${name} is ${value}.`);
    const whole = Number.isInteger(value) && !name.endsWith('_F');
    return whole ? `const ${name} = ${value}u;` : `const ${name} = f32(${value});`;
  });
  const body: string[] = [];
  const taken: boolean[] = [];
  for (const line of source.split('\n')) {
    const directive = /^\s*\/\/#(if|else|end)\s*(!?)(\w*)/.exec(line);
    if (!directive) {
      if (taken.every(Boolean)) body.push(line);
      continue;
    }
    const [, kind, not, name] = directive;
    if (kind === 'if') {
      if (!(name! in flags)) throw new RangeError(`WGSL flag ${name} has no value.`);
      taken.push(flags[name!] !== (not === '!'));
    } else if (taken.length === 0) {
      throw new RangeError(`WGSL //#${kind} without //#if.`);
    } else if (kind === 'else') {
      taken.push(!taken.pop()!);
    } else {
      taken.pop();
    }
  }
  if (taken.length > 0) throw new RangeError('WGSL //#if without //#end.');
  const text = body.join('\n');
  // `enable` directives must stand before any declaration.
  const enables = /\bsubgroup[A-Z]\w*\s*\(/.test(text) ? 'enable subgroups;\n' : '';
  return `${enables}${header.join('\n')}\n${text}`;
}
