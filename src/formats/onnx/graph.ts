import { UnsupportedModelError } from '../decoder/errors';
import type { OnnxAttribute, OnnxModel, OnnxNode } from './proto';
import { float16ToFloat32 } from '../float16';
import { aligned, elementCount, type TensorRef } from '../decoder/tensor';

/**
 * A graph that is read by claiming: a walk from the embedding to the logits claims each node it
 * understands, and what is left over at the end is a reason to refuse the model.
 */
export class Graph {
  private readonly producers = new Map<string, OnnxNode>();
  private readonly readers = new Map<string, OnnxNode[]>();
  private readonly claimed = new Set<OnnxNode>();
  private readonly inputNames: Set<string>;
  private readonly outputNames: Set<string>;
  /** By tensor, what {@link constant} found. */
  private readonly constants = new Map<string, TensorRef | undefined>();
  /** By tensor: is it computed from constants and shapes alone? */
  private readonly constantOnly = new Map<string, boolean>();
  private readonly nodes: readonly OnnxNode[];

  constructor(readonly model: OnnxModel) {
    this.inputNames = new Set(model.inputs.map((input) => input.name));
    this.outputNames = new Set(model.outputs.map((output) => output.name));
    this.nodes = withoutIdentities(model);
    for (const node of this.nodes) {
      for (const output of new Set(node.outputs)) this.setProducer(output, node);
      for (const input of node.inputs) {
        if (!input) continue;
        const readers = this.readers.get(input);
        if (readers === undefined) this.readers.set(input, [node]);
        else if (readers.at(-1) !== node) readers.push(node);
      }
    }
    this.assertNoCircle();
  }

  /** Of two tensors with one name a walk would read either. */
  private setProducer(output: string, node: OnnxNode): void {
    if (output === '') return;
    if (this.producers.has(output) || this.model.initializers.has(output)) {
      throw unsupported(node, `there is another tensor "${output}"`);
    }
    this.producers.set(output, node);
  }

  /** Every walk ends because no node reads what is made of its own output. */
  private assertNoCircle(): void {
    const missing = new Map<OnnxNode, number>();
    const ready: OnnxNode[] = [];
    for (const node of this.nodes) {
      const made = new Set(node.inputs.filter((input) => this.producers.has(input))).size;
      missing.set(node, made);
      if (made === 0) ready.push(node);
    }
    for (const node of ready) {
      missing.delete(node);
      for (const output of new Set(node.outputs)) {
        for (const reader of this.consumers(output)) {
          const left = missing.get(reader)! - 1;
          missing.set(reader, left);
          if (left === 0) ready.push(reader);
        }
      }
    }
    const [stuck] = missing.keys();
    if (stuck) throw unsupported(stuck, 'it is part of a circle, or comes behind one');
  }

  /**
   * The nearest node behind `tensors` that `wanted` accepts, at most `hops` nodes away; what
   * `passable` refuses is not walked through.
   */
  nearest(
    tensors: readonly string[],
    hops: number,
    wanted: (node: OnnxNode) => boolean,
    passable: (node: OnnxNode) => boolean = () => true,
  ): OnnxNode | undefined {
    const seen = new Set(tensors);
    let level = [...seen];
    for (let hop = 0; hop < hops && level.length > 0; hop++) {
      const next: string[] = [];
      for (const node of level.flatMap((tensor) => [...this.consumers(tensor)])) {
        if (wanted(node)) return node;
        if (!passable(node)) continue;
        for (const output of node.outputs) {
          if (output === '' || seen.has(output)) continue;
          seen.add(output);
          next.push(output);
        }
      }
      level = next;
    }
    return undefined;
  }

  producer(tensor: string): OnnxNode | undefined {
    return this.producers.get(tensor);
  }

  consumers(tensor: string): readonly OnnxNode[] {
    return this.readers.get(tensor) ?? [];
  }

  isInput(tensor: string): boolean {
    return this.inputNames.has(tensor);
  }

  isOutput(tensor: string): boolean {
    return this.outputNames.has(tensor);
  }

  claim(node: OnnxNode): void {
    this.claimed.add(node);
  }

  isClaimed(node: OnnxNode): boolean {
    return this.claimed.has(node);
  }

  /**
   * The constant behind a tensor name: an initializer, a Constant node, or a Reshape of one to the
   * same number of elements, whose new dimensions are not looked at. Claims what it passes.
   */
  constant(tensor: string): TensorRef | undefined {
    const known = this.constants;
    settle(tensor, known, (name) => {
      const initializer = this.model.initializers.get(name);
      if (initializer) return { value: initializer };
      const node = this.producer(name);
      if (node && isOp(node, 'Constant')) {
        const value = node.attributes.get('value');
        if (value?.kind !== 'tensor') return { value: undefined };
        this.claim(node);
        return { value: value.value };
      }
      if (node === undefined || !isOp(node, 'Reshape')) return { value: undefined };
      const [data = '', shape = ''] = node.inputs;
      if (!known.has(data)) return { first: [data] };
      const found = known.get(data);
      if (found === undefined) return { value: undefined };
      if (!known.has(shape)) return { first: [shape] };
      if (known.get(shape) === undefined) return { value: undefined };
      this.claim(node);
      return { value: found };
    });
    return known.get(tensor);
  }

  /** Like {@link constant}, refusing the model where it is not one. */
  weight(node: OnnxNode, index: number, what: string): TensorRef {
    const name = node.inputs[index] ?? '';
    const ref = this.constant(name);
    if (ref === undefined) throw unsupported(node, `its ${what} "${name}" is no stored tensor`);
    return ref;
  }

  /** The values of a short int64 constant, such as a shape; undefined where `tensor` is none. */
  integers(tensor: string): number[] | undefined {
    const ref = this.constant(tensor);
    if (ref?.dataType !== 'int64' || ref.storage.kind !== 'inline') return undefined;
    return Array.from(new BigInt64Array(aligned(ref.storage.bytes)), Number);
  }

  /** The value of a constant with one element; undefined where `tensor` is none. */
  scalar(tensor: string): number | undefined {
    const ref = this.constant(tensor);
    return ref && scalarOf(ref);
  }

  /**
   * Claims everything that `tensor` is computed from; only these operators and graph inputs. A
   * Shape ends the walk: it reads no values.
   */
  claimPlumbing(
    tensor: string,
    operators: ReadonlySet<string>,
    mayRead: (input: string) => boolean,
  ): void {
    const pending = [tensor];
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === '' || this.model.initializers.has(name)) continue;
      if (this.isInput(name)) {
        if (mayRead(name)) continue;
        throw new UnsupportedModelError(
          `The graph uses its input "${name}" in an unexpected place.`,
        );
      }
      const node = this.producer(name);
      if (node === undefined) {
        throw new UnsupportedModelError(`The tensor "${name}" comes from nowhere.`);
      }
      if (this.claimed.has(node)) continue;
      if (node.domain !== '' || !operators.has(node.opType)) {
        throw unsupported(node, 'it is not expected among the mask and position operators');
      }
      this.claim(node);
      // The first input first, so that the node that is named is the one a reader meets first.
      if (node.opType !== 'Shape')
        for (const input of node.inputs.toReversed()) pending.push(input);
    }
  }

  /** Is a tensor computed from constants and shapes alone? */
  dependsOnConstants(tensor: string): boolean {
    const known = this.constantOnly;
    settle(tensor, known, (name) => {
      if (name === '' || this.model.initializers.has(name)) return { value: true };
      const node = this.producer(name);
      if (node === undefined) return { value: false };
      if (isOp(node, 'Shape')) return { value: true };
      const first = node.inputs.filter((input) => !known.has(input));
      return first.length > 0 ? { first } : { value: node.inputs.every((one) => known.get(one)) };
    });
    return known.get(tensor)!;
  }

  /** Is a node read, yet by nothing but Shape, directly or through such nodes? */
  private onlyShapes(
    start: OnnxNode,
    operators: ReadonlySet<string>,
    known: Map<OnnxNode, boolean>,
  ): boolean {
    settle(start, known, (node) => {
      const readers = node.outputs.flatMap((output) => this.consumers(output));
      const maybe =
        readers.length > 0 &&
        node.domain === '' &&
        operators.has(node.opType) &&
        !node.outputs.some((output) => this.isOutput(output));
      if (!maybe) return { value: false };
      const others = readers.filter((reader) => !isOp(reader, 'Shape'));
      const first = others.filter((reader) => !known.has(reader));
      return first.length > 0 ? { first } : { value: others.every((one) => known.get(one)) };
    });
    return known.get(start)!;
  }

  /**
   * Refuses the model where a node has not been claimed. Unread constants do no harm, nor do nodes
   * of these operators whose values nobody reads, only their shapes.
   */
  assertAllClaimed(operators: ReadonlySet<string>): void {
    const known = new Map<OnnxNode, boolean>();
    const left = this.nodes.filter(
      (node) =>
        !this.claimed.has(node) &&
        !isOp(node, 'Constant') &&
        !this.onlyShapes(node, operators, known),
    );
    const [first] = left;
    if (first === undefined) return this.assertNothingMissing();
    const more = left.length > 1 ? ` ${left.length - 1} more nodes are not understood either.` : '';
    throw new UnsupportedModelError(
      `${describe(first)} is not part of any decoder structure this app knows.${more}`,
    );
  }

  /** Refuses the model where a node reads a tensor that nothing makes. */
  private assertNothingMissing(): void {
    for (const node of this.nodes) {
      const missing = node.inputs.find(
        (name) =>
          name !== '' &&
          !this.producers.has(name) &&
          !this.inputNames.has(name) &&
          !this.model.initializers.has(name),
      );
      if (missing !== undefined) throw unsupported(node, `its input "${missing}" is not there`);
    }
  }
}

/**
 * The nodes, reading what Identity nodes pass on from where it comes: exporters put them between
 * weights that are alike. One that nobody reads, or that makes an output of the graph, stays.
 */
function withoutIdentities({ nodes, outputs }: OnnxModel): OnnxNode[] {
  const read = new Set(nodes.flatMap((node) => node.inputs));
  const results = new Set(outputs.map((output) => output.name));
  const sources = new Map<string, string>();
  const kept = nodes.filter((node) => {
    const [output = ''] = node.outputs;
    if (!isOp(node, 'Identity') || !read.has(output) || results.has(output)) return true;
    sources.set(output, node.inputs[0] ?? '');
    return false;
  });
  if (sources.size === 0) return nodes;
  const ends = new Map<string, string>();
  const resolve = (tensor: string): string => {
    const passed: string[] = [];
    const seen = new Set<string>();
    let at = tensor;
    while (sources.has(at) && !ends.has(at)) {
      // A circle of Identities comes from nowhere.
      if (seen.has(at)) throw new UnsupportedModelError(`The tensor "${at}" is its own copy.`);
      seen.add(at);
      passed.push(at);
      at = sources.get(at)!;
    }
    const end = ends.get(at) ?? at;
    for (const name of passed) ends.set(name, end);
    return end;
  };
  return kept.map((node) => ({ ...node, inputs: node.inputs.map(resolve) }));
}

/**
 * Finds a value that depends on others of its kind, those first, and keeps each in `known`. Without
 * recursion: a file's graph may be deeper than any stack. The graph has no circles, so it ends.
 */
function settle<K, V>(
  start: K,
  known: Map<K, V>,
  step: (key: K) => { value: V } | { first: readonly K[] },
): void {
  const pending = [start];
  for (let key = pending.at(-1); key !== undefined; key = pending.at(-1)) {
    const result = known.has(key) ? null : step(key);
    if (result && 'first' in result) {
      for (const other of result.first) pending.push(other);
      continue;
    }
    if (result) known.set(key, result.value);
    pending.pop();
  }
}

export const MICROSOFT = 'com.microsoft';

export function isOp(node: OnnxNode, opType: string, domain = ''): boolean {
  return node.opType === opType && node.domain === domain;
}

export function describe(node: OnnxNode): string {
  return `The node "${node.name}" (${node.domain ? `${node.domain}.` : ''}${node.opType})`;
}

export function unsupported(node: OnnxNode, reason: string): UnsupportedModelError {
  return new UnsupportedModelError(`${describe(node)} is not supported: ${reason}.`);
}

/** The attribute as a number; `otherwise` where it is absent. */
export function numberAttribute(node: OnnxNode, name: string, otherwise: number): number {
  const attribute: OnnxAttribute | undefined = node.attributes.get(name);
  if (attribute === undefined) return otherwise;
  if (attribute.kind === 'int' || attribute.kind === 'float') return attribute.value;
  throw unsupported(node, `its attribute "${name}" is no number`);
}

/** The number in a tensor of one element that was small enough to be kept. */
function scalarOf({ dims, dataType, storage }: TensorRef): number | undefined {
  if (elementCount(dims) !== 1 || storage.kind !== 'inline') return undefined;
  const buffer = aligned(storage.bytes);
  if (dataType === 'float32') return new Float32Array(buffer)[0];
  if (dataType === 'float16') return float16ToFloat32(new Uint16Array(buffer))[0];
  if (dataType === 'int64') return Number(new BigInt64Array(buffer)[0]);
  if (dataType === 'int32') return new Int32Array(buffer)[0];
  if (dataType === 'uint8') return new Uint8Array(buffer)[0];
  return undefined;
}

/** Refuses the node unless the tensor has exactly `count` elements. */
export function assertCount(node: OnnxNode, ref: TensorRef, count: number, shape: string): void {
  if (elementCount(ref.dims) !== count) {
    throw unsupported(
      node,
      `its tensor "${ref.name}" is [${ref.dims.join(', ')}] where ${shape} was expected`,
    );
  }
}
