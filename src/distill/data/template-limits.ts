/**
 * An interpreter of chat templates that cannot run for long. A template comes with a model that
 * somebody else made: loops, recursion and strings that double are within the language. Every node
 * evaluated costs a step, and so does what it gives, by size; operations whose result can be far
 * larger than their operands are refused before they run. The limits count work and not time, so a
 * template that renders on one machine renders on all.
 */
import { Interpreter } from '@huggingface/jinja';
import { KnownError } from '../../formats/errors';

type Node = Parameters<Interpreter['evaluate']>[0];
type Scope = Parameters<Interpreter['evaluate']>[1];
type Value = ReturnType<Interpreter['evaluate']>;

/** Steps of one rendering: about a second. A template as models have them takes a few thousand. */
const MAX_STEPS = 300_000;
/** Characters of any value, and of the whole text. */
const MAX_TEXT = 1 << 18;
/** Parts of any value, counted as often as they are written. */
const MAX_PARTS = 1 << 16;
/** Levels of lists within lists. */
const MAX_DEPTH = 64;
/** Nodes that are evaluated within each other, macros that call macros among them. */
const MAX_CALLS = 500;
/** Values that cost one step to touch again. */
const UNIT = 64;

/** A template that asks for more work than any conversation needs; the message says what. */
export class TemplateLimitError extends KnownError {
  override readonly name = 'TemplateLimitError';
  readonly errorCode = 'unsupported-model';
}

/** A value that stands for itself: an operand that has been evaluated and measured. */
interface Held {
  type: 'Held';
  held: Value;
}

interface Size {
  chars: number;
  parts: number;
  depth: number;
  /** Nothing in it can change, so it need not be measured again. */
  fixed: boolean;
}

/** Filters whose result may be a product of operand and arguments. */
const MULTIPLYING: ReadonlySet<string> = new Set(['join', 'indent', 'tojson']);

export class LimitedInterpreter extends Interpreter {
  private steps = 0;
  private depth = 0;
  private readonly sizes = new WeakMap<object, Size>();
  private readonly guarded = new WeakSet<object>();

  override evaluate(node: Node, scope: Scope): Value {
    const given = node as Held | Node;
    if (given && 'held' in given) return given.held;
    this.spend(1);
    // Counted, not left to the stack's size: the library takes an overflow for an unknown name.
    if (++this.depth > MAX_CALLS) throw new TemplateLimitError('it is nested too deeply');
    try {
      const value = this.result(node, scope);
      const { chars, parts } = this.measure(value);
      this.spend((chars + parts) / UNIT);
      return value;
    } finally {
      this.depth--;
    }
  }

  private result(node: Node, scope: Scope): Value {
    switch (node?.type) {
      case 'MemberExpression':
        return this.member(node as Node & { object: Node }, scope);
      case 'FilterExpression':
        return this.filtered(node as Filtered, scope);
      case 'BinaryExpression':
        return this.binary(node as Binary, scope);
      default:
        return super.evaluate(node, scope);
    }
  }

  /** Methods of strings: replace() alone can write more than it reads. */
  private member(node: Node & { object: Node }, scope: Scope): Value {
    const object = this.evaluate(node.object, scope);
    if (object.type === 'StringValue') this.guardReplace(object);
    return super.evaluate(withParts(node, { object: hold(object) }), scope);
  }

  private filtered(node: Filtered, scope: Scope): Value {
    const operand = this.evaluate(node.operand, scope);
    const parts: Partial<Filtered> = { operand: hold(operand) };
    const name = node.filter.callee?.value;
    if (name === 'replace' && operand.type === 'StringValue') this.guardReplace(operand);
    if (name !== undefined && MULTIPLYING.has(name)) {
      const args = (node.filter.args ?? []).map((arg) => this.argument(arg, scope));
      const factor = args.reduce((sum, { values }) => sum + values.reduce(amount, 0), 0);
      const size = this.measure(operand);
      const places =
        operand.type === 'StringValue' ? size.chars + 1 : size.parts * Math.max(1, size.depth);
      requireText(size.chars + this.lines(name, operand, places) * factor);
      parts.filter = withParts(node.filter, { args: args.map(({ node }) => node) });
    }
    return super.evaluate(withParts(node, parts), scope);
  }

  /** Where an argument of a filter is written: between all parts, or before every line. */
  private lines(filter: string, operand: Value, places: number): number {
    return filter === 'indent' && operand.type === 'StringValue'
      ? occurrences(operand.value as string, '\n') + 1
      : places;
  }

  /** An argument evaluated once, and what it holds. */
  private argument(arg: Argument, scope: Scope): { node: Argument; values: Value[] } {
    const slot =
      arg.type === 'KeywordArgumentExpression'
        ? 'value'
        : arg.type === 'SpreadExpression' || arg.type === 'KeywordSpreadExpression'
          ? 'argument'
          : null;
    const value = this.evaluate(slot ? arg[slot] : arg, scope);
    const inside = value.value instanceof Map ? [...value.value.values()] : value.value;
    return {
      node: slot ? withParts(arg, { [slot]: hold(value) }) : hold(value),
      values: Array.isArray(inside) ? (inside as Value[]) : [value],
    };
  }

  /** Searching text in text is a product in the worst case. */
  private binary(node: Binary, scope: Scope): Value {
    const { operator } = node;
    if (operator.value !== 'in' && operator.value !== 'not in') return super.evaluate(node, scope);
    const left = this.evaluate(node.left, scope);
    const right = this.evaluate(node.right, scope);
    if (left.type === 'StringValue' && right.type === 'StringValue') {
      this.spend(((left.value as string).length * (right.value as string).length) / (1 << 14));
    }
    return super.evaluate(withParts(node, { left: hold(left), right: hold(right) }), scope);
  }

  private guardReplace(text: Value): void {
    if (this.guarded.has(text)) return;
    this.guarded.add(text);
    const source = text.value as string;
    const replace = text.builtins.get('replace') as unknown as { value: Method };
    const plain = replace.value;
    replace.value = (args, scope) => {
      const [old, fresh] = args.map((arg) => arg.value);
      if (typeof old === 'string' && typeof fresh === 'string') {
        this.spend((old.length * source.length) / (1 << 14));
        requireText(source.length + occurrences(source, old) * fresh.length);
      }
      return plain(args, scope);
    };
  }

  private measure(value: Value): Size {
    if (typeof value.value === 'string') {
      requireText(value.value.length);
      return { chars: value.value.length, parts: 1, depth: 0, fixed: true };
    }
    if (value.value === null || typeof value.value !== 'object') return SCALAR;
    const known = this.sizes.get(value);
    if (known) return known;
    const size = this.walk(value, 0);
    this.spend(size.parts);
    return size;
  }

  /** Sizes of a list or mapping, parts that are shared counted wherever they stand. */
  private walk(value: Value, above: number): Size {
    if (typeof value.value === 'string') {
      return { chars: value.value.length, parts: 1, depth: 0, fixed: true };
    }
    const inside = children(value);
    if (inside === null) return SCALAR;
    const known = this.sizes.get(value);
    if (known) return known;
    if (above > MAX_DEPTH) throw new TemplateLimitError('it nests lists too deeply');
    // A namespace can be given other values later.
    const size: Size = { chars: 0, parts: 1, depth: 1, fixed: value.type !== 'NamespaceValue' };
    for (const [key, child] of inside) {
      const part = this.walk(child, above + 1);
      size.chars += key.length + part.chars;
      size.parts += part.parts;
      size.depth = Math.max(size.depth, part.depth + 1);
      size.fixed &&= part.fixed;
      if (size.parts > MAX_PARTS) {
        throw new TemplateLimitError(`it makes a list of more than ${MAX_PARTS} parts`);
      }
      requireText(size.chars);
    }
    if (size.fixed) this.sizes.set(value, size);
    return size;
  }

  private spend(steps: number): void {
    this.steps += steps;
    if (this.steps > MAX_STEPS) {
      throw new TemplateLimitError(`it takes more than ${MAX_STEPS} steps`);
    }
  }
}

const SCALAR: Size = { chars: 16, parts: 1, depth: 0, fixed: true };

type Method = (args: Value[], scope: Scope) => Value;
type Argument = Node & { value: Node; argument: Node };
type Binary = Node & { operator: { value: string }; left: Node; right: Node };
type Filtered = Node & {
  operand: Node;
  filter: Node & { callee?: { value: string }; args?: Argument[] };
};

/** The same node with other operands. */
function withParts<N extends Node, P extends object>(node: N, parts: P): N & P {
  return { ...(node as object), ...parts } as N & P;
}

function hold(held: Value): Node & Argument {
  return { type: 'Held', held } as unknown as Node & Argument;
}

function requireText(chars: number): void {
  if (chars > MAX_TEXT) {
    throw new TemplateLimitError(`it writes a text of more than ${MAX_TEXT} characters`);
  }
}

/** How often `part` occurs in `text`; of an empty part, where it could stand. */
function occurrences(text: string, part: string): number {
  return part === '' ? text.length + 1 : text.split(part).length - 1;
}

/** What an argument can add at each place: characters of a text, blanks of a width. */
function amount(sum: number, { value }: Value): number {
  if (typeof value === 'string') return sum + value.length;
  return sum + (typeof value === 'number' ? Math.max(0, value) : 0);
}

/** Keys and values of a list or mapping; null for anything else. */
function children(value: Value): Iterable<readonly [string, Value]> | null {
  const { value: inside } = value as { value: unknown };
  if (Array.isArray(inside)) return inside.map((child) => ['', child as Value] as const);
  if (inside instanceof Map) return inside as Map<string, Value>;
  return null;
}
