import { describe, expect, it } from 'vitest';
import { expectEvenGrowth } from '../../formats/growth.testing';
import { ChatTemplate, ChatTemplateError, isLimit } from './chat-template';

const messages = [{ role: 'user', content: 'Hello' }];
const render = (source: string, more: Record<string, unknown> = {}) =>
  new ChatTemplate(source).render({ messages, add_generation_prompt: true, ...more });

/** What would run without end, or fill the memory, is refused at once. */
const ENDLESS: [string, string][] = [
  ['a long loop', '{% for i in range(1000000000) %}x{% endfor %}'],
  ['a loop of many loops', loops(5, 1000)],
  ['a macro that calls itself', '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}'],
  [
    'a macro that calls itself twice',
    '{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(40) }}',
  ],
  ['a text that doubles', doubling("'ab'", 'ns.x ~ ns.x', '{{ ns.x }}')],
  ['a text that doubles inside a list', doubling("'ab'", 'ns.x + ns.x', '{{ [ns.x] | tojson }}')],
  ['a list that doubles', doubling('[1]', 'ns.x + ns.x', '{{ ns.x | length }}')],
  ['a list in a list in a list', doubling('[1]', '[ns.x, ns.x]', '{{ ns.x }}')],
  ['mappings in mappings', doubling("{'a': 1}", "{'a': ns.x, 'b': ns.x}", '{{ ns.x | tojson }}')],
  [
    'namespaces in namespaces',
    '{% set top = namespace(x=1) %}{% set ns = namespace(x=top) %}{% for i in range(60) %}' +
      '{% set next = namespace(x=1) %}{% set ns.x.x = [next, next] %}{% set ns.x = next %}' +
      '{% endfor %}{{ top }}',
  ],
  ['a replacement by a long text', `${long('x', 60_000)}{{ x.replace('a', x) }}`],
  ['a replacement of nothing', `${long('x', 60_000)}{{ x | replace('', x) }}`],
  ['a replacement by another name', `${long('x', 60_000)}{% set f = x.replace %}{{ f('a', x) }}`],
  ['a join of long texts', `${long('x', 60_000)}{{ range(9999) | join(x) }}`],
  ['a join with an unpacked list', `${long('x', 60_000)}{{ range(9999) | join(*[x]) }}`],
  ['a wide indent', "{{ 'a\nb' | indent(1000000000) }}"],
  ['a wide indent by name', "{{ 'a\nb' | indent(width=1000000000) }}"],
  ['a wide indent of JSON', '{{ messages | tojson(indent=1000000000) }}'],
  ['separators of JSON', `${long('x', 60_000)}{{ range(999) | tojson(separators=(x, x)) }}`],
  [
    'a search in a long text',
    `${long('x', 120_000)}{% for i in range(10000) %}{{ (x ~ 'b') in (x ~ x) }}{% endfor %}`,
  ],
  ['a search in a long list', '{% set x = range(9999) %}{% for i in x %}{{ -1 in x }}{% endfor %}'],
];

function loops(depth: number, count: number): string {
  return `{% for i in range(${count}) %}`.repeat(depth) + 'x' + '{% endfor %}'.repeat(depth);
}
function doubling(first: string, next: string, last: string): string {
  return (
    `{% set ns = namespace(x=${first}) %}` +
    `{% for i in range(60) %}{% set ns.x = ${next} %}{% endfor %}${last}`
  );
}
function long(name: string, length: number): string {
  return `{% set ${name} = '${'a'.repeat(length)}' %}`;
}

describe('a chat template', () => {
  it.each(ENDLESS)('is refused for %s', (_, source) => {
    const template = new ChatTemplate(source);
    const start = performance.now();
    let error: unknown;
    try {
      template.render({ messages, add_generation_prompt: true });
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(ChatTemplateError);
    expect(isLimit(error)).toBe(true);
    expect((error as Error).message).toMatch(/cannot write this conversation: .+\./);
    // Far above what it takes; without a limit these take minutes or the whole memory.
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  it.each([
    ['{{ range(4) | join(", ") }}', '0, 1, 2, 3'],
    ['{{ range(5, 1, -2) | join(",") }}', '5,3'],
    ['{{ range(3, 3) | length }}', '0'],
    ["{{ 'a-b-c'.replace('-', '+') }}{{ 'a-b' | replace('-', '') }}", 'a+b+cab'],
    ["{% set f = 'aXb'.replace %}{{ f('X', '_') }}", 'a_b'],
    ["{{ 'a-b-c' | replace('-', '+', 1) }}", 'a+b-c'],
    ["{{ 'a\nb\n\nc' | indent(2) }}", 'a\n  b\n\n  c'],
    ["{{ 'a\nb' | indent(width=1, first=true) }}", ' a\n b'],
    [
      "{{ {'a': [1, {'b': none}]} | tojson(indent=1) }}",
      '{\n "a": [\n  1,\n  {\n   "b": null\n  }\n ]\n}',
    ],
    ["{{ [1, 2] | tojson(separators=(';', ':')) }}", '[1;2]'],
    ["{{ ['x', 'y'] | join(*['/']) }}{{ ['x', 'y'] | join(separator='|') }}", 'x/yx|y'],
    [
      "{{ 'ell' in messages[0]['content'] }}{{ 'x' not in ['y'] }}{{ 'role' in messages[0] }}",
      'truetruetrue',
    ],
    ['{{ messages[0].content[1:3] }}{{ messages[-1].role | upper }}', 'elUSER'],
    [
      "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m['content'] | trim }}{% endfor %}",
      '1Hello',
    ],
    ["{% macro f(a, b='c') %}{{ a }}{{ b }}{% endmacro %}{{ f('x') }}{{ f('y', b='z') }}", 'xcyz'],
    [
      "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | first }}",
      'Hello',
    ],
    [
      '{% set ns = namespace(n=0) %}{% for i in range(9) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}',
      '36',
    ],
    [
      "{{ none is none }}{{ None == none }}{{ x is defined }}{{ x | default('d') }}",
      'truetruefalsed',
    ],
  ])('%s is %j', (source, expected) => {
    expect(render(source)).toBe(expected);
  });

  it.each([
    ['%d %b %Y', '26 Jul 2024'],
    ['%Y-%m-%d', '2024-07-26'],
    ['%A, %B %d, %Y at %I:%M %p', 'Friday, July 26, 2024 at 12:00 AM'],
    ['%-d.%-m. %H:%M:%S %%', '26.7. 00:00:00 %'],
    ['%j %q', '208 %q'],
  ])('says %s as one fixed day', (format, expected) => {
    expect(render(`{{ strftime_now('${format}') }}`)).toBe(expected);
  });

  it('may split a text into lines and look at each', () => {
    const content = Array.from({ length: 1000 }, (_, i) => `line ${i}`).join('\n');
    const source =
      "{% set lines = messages[0]['content'].split('\n') %}" +
      '{% for i in range(lines | length) %}{{ lines[i] | upper }};{% endfor %}';
    const text = render(source, { messages: [{ role: 'user', content }] });
    expect(text.split(';')).toHaveLength(1001);
  });

  it.each([
    ['a long text', 'x'.repeat((1 << 17) + 1), /characters/],
    ['a long run of blanks', `a${' '.repeat(200_000)}b`, /characters|blanks/],
    ['a run of blanks', `a${' '.repeat(2000)}b`, /blanks in a row/],
    ['a run of empty lines', `a${'\r\n'.repeat(2000)}b`, /blanks in a row/],
    ['deep brackets', `{{ ${'('.repeat(20_000)}1${')'.repeat(20_000)} }}`, /nested too deeply/],
    ['an open block', '{% if %}', /cannot be read/],
    ['an open text', "{{ 'a", /cannot be read/],
  ])('is not read where it is %s', (_, source, reason) => {
    expect(() => new ChatTemplate(source)).toThrow(ChatTemplateError);
    expect(() => new ChatTemplate(source)).toThrow(reason);
  });

  it.each([
    ['breaks a loop where there is none', '{% break %}'],
    ['calls what is no function', '{{ messages() }}'],
    ['adds none', '{{ none + 1 }}'],
    ['raises', "{{ raise_exception('no') }}"],
    ['counts in halves', '{{ range(0.5) }}'],
    ['steps by nothing', '{{ range(1, 2, 0) }}'],
  ])('that %s fails with a sentence', (_, source) => {
    expect(() => render(source)).toThrow(ChatTemplateError);
  });

  it('takes time in proportion to its length', async () => {
    const piece =
      "{% if messages[0]['role'] == 'user' %}{{ messages[0]['content'] | trim }}\n{% endif %}\n  ";
    await expectEvenGrowth(250, (pieces) => {
      const source = piece.repeat(pieces);
      return () => render(source);
    });
  });

  it('takes time in proportion to the conversation', async () => {
    const template = new ChatTemplate(
      "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | trim }}{% endfor %}",
    );
    await expectEvenGrowth(750, (count) => {
      const asked = Array.from({ length: count }, () => messages[0]!);
      return () => template.render({ messages: asked, add_generation_prompt: false });
    });
  });
});
