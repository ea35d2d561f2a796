/**
 * Attention as the primitive operators that PyTorch's exporter writes: projections, heads apart,
 * head norms, rotation by computed angles, cache, repeated KV heads, scores, mask, softmax, values.
 */
import type { AttentionSite } from './attention';
import { assertFeatures, assertName, lost } from './checks';
import { isOp, numberAttribute, unsupported } from './graph';
import { isLinearOp, type LinearSite, readLinear } from './linear';
import { linearAfter } from './mlp';
import { type DenseTensor, sameRotary } from '../decoder/model';
import { readNormOf, readSoftCap } from './norm';
import type { OnnxNode } from './proto';
import { readRotation } from './rotation';
import {
  castViews,
  claimCasts,
  claimPlumbing,
  isFloatCast,
  near,
  PLUMBING,
  scalarOperand,
  type Walk,
} from './walk';

/** Nodes between a projection and the softmax that it feeds, at most. */
const SOFTMAX_HOPS = 32;

/** What lies between projections and the softmax in any export, norms and rotation included. */
const ATTENTION = new Set([...PLUMBING, 'Pow', 'ReduceMean', 'Sqrt', 'Reciprocal', 'Tanh']);

type Sites = Record<'q' | 'k' | 'v', { node: OnnxNode; site: LinearSite }>;

export function readPrimitiveAttention(walk: Walk, input: string, layer: number): AttentionSite {
  return new PrimitiveAttention(walk, input, layer).read();
}

class PrimitiveAttention {
  private readonly sites: { node: OnnxNode; site: LinearSite }[];

  constructor(
    private readonly walk: Walk,
    private readonly input: string,
    private readonly layer: number,
  ) {
    const { graph } = walk;
    this.sites = castViews(graph, input).flatMap((view) => {
      const nodes = graph.consumers(view.name).filter(isLinearOp);
      if (nodes.length > 0) claimCasts(graph, view);
      return nodes.map((node) => ({ node, site: readLinear(graph, node) }));
    });
  }

  read(): AttentionSite {
    const { walk, layer } = this;
    const { graph, config } = walk;
    const softmax = this.findSoftmax();
    if (numberAttribute(softmax, 'axis', -1) !== -1) {
      throw unsupported(softmax, 'it does not run over the keys');
    }
    graph.claim(softmax);
    const masked = this.behindMask(softmax);
    const { scores, softCap, scale } = this.scores(masked);
    const query = this.operand(scores, 0, 'query');
    const key = this.operand(scores, 1, 'key');
    const factor = scale * query.scale * key.scale;
    if (!near(factor, config.attentionScale)) {
      throw unsupported(scores, `its scale ${factor} is not 1/√${config.attentionScale ** -2}`);
    }
    const mix = this.behindSoftmax(softmax);
    const value = this.strip(mix.inputs[1] ?? '', 'value');
    const q = this.rotated(query.tensor, scores);
    const k = this.rotated(key.tensor, scores);
    const sites: Sites = { q: q.from, k: k.from, v: this.siteOf(value, mix) };
    const queries = config.heads * config.headDim;
    const keys = config.kvHeads * config.headDim;
    for (const [role, width] of [
      ['q', queries],
      ['k', keys],
      ['v', keys],
    ] as const) {
      assertName(sites[role].node, layer, role);
      assertFeatures(sites[role].node, sites[role].site.linear, width, config.dim);
    }
    if (sites.v === sites.q || sites.v === sites.k || sites.q === sites.k) {
      throw unsupported(softmax, 'its queries, keys and values are not three projections');
    }
    if ((q.norm === undefined) !== (k.norm === undefined)) {
      throw unsupported(scores, 'only one of q and k is normalised');
    }
    if (!sameRotary(q.rotary, k.rotary)) {
      throw unsupported(scores, 'its queries and keys are rotated by different angles');
    }
    const out = linearAfter(graph, this.joinHeads(mix.outputs[0] ?? ''), layer, 'o');
    const [{ linear: qLinear }, { linear: kLinear }] = [sites.q.site, sites.k.site];
    assertFeatures(out.node, out.linear, config.dim, queries);
    const norms = q.norm && k.norm ? { qNorm: q.norm, kNorm: k.norm } : {};
    return {
      weights: { q: qLinear, k: kLinear, v: sites.v.site.linear, o: out.linear, ...norms },
      rotary: q.rotary,
      softCap,
      // The mask is computed from positions; its width stands in the configuration only.
      window: config.windows[layer] ?? null,
      output: out.output,
    };
  }

  private findSoftmax(): OnnxNode {
    const { graph } = this.walk;
    const search = (wanted: (node: OnnxNode) => boolean) =>
      graph.nearest(
        this.sites.map(({ site }) => site.output),
        SOFTMAX_HOPS,
        wanted,
        // Nor beyond the output projection, into the next layer's attention.
        (node) => !isOp(node, 'Shape') && !this.isProjection(node),
      );
    const softmax = search((node) => isOp(node, 'Softmax'));
    if (softmax) return softmax;
    const strange = search((node) => !isLinearOp(node) && !ATTENTION.has(node.opType));
    if (strange) throw unsupported(strange, 'it is not expected in attention');
    throw lost(graph, this.input, `the attention of layer ${this.layer}`);
  }

  private isProjection(node: OnnxNode): boolean {
    const [, weight = ''] = node.inputs;
    return isLinearOp(node) && this.walk.graph.constant(weight) !== undefined;
  }

  /** Scores without the mask that is added to them or chosen instead of them. */
  private behindMask(softmax: OnnxNode): string {
    const { graph } = this.walk;
    const tensor = this.behindCasts(softmax.inputs[0] ?? '');
    const node = graph.producer(tensor);
    if (node && isOp(node, 'Where')) {
      const [condition = '', yes = '', no = ''] = node.inputs;
      graph.claim(node);
      claimPlumbing(graph, condition);
      if (graph.scalar(yes) !== undefined) return no;
      if (graph.scalar(no) !== undefined) return yes;
      throw unsupported(node, 'it is no mask');
    }
    if (node === undefined || !isOp(node, 'Add')) {
      throw unsupported(softmax, 'no mask is added to its scores');
    }
    graph.claim(node);
    const side = node.inputs.findIndex((name) => this.leadsToMatMul(name));
    if (side < 0) throw unsupported(node, 'it adds a mask to no scores');
    claimPlumbing(graph, node.inputs[1 - side] ?? '');
    return node.inputs[side] ?? '';
  }

  private leadsToMatMul(tensor: string): boolean {
    let node = this.walk.graph.producer(tensor);
    for (let hop = 0; hop < 6 && node; hop++) {
      if (isOp(node, 'MatMul')) return true;
      if (!['Mul', 'Div', 'Tanh', 'Cast'].some((op) => isOp(node!, op))) return false;
      const operand = scalarOperand(this.walk.graph, node)?.other ?? node.inputs[0] ?? '';
      node = this.walk.graph.producer(operand);
    }
    return false;
  }

  /** The MatMul of queries and keys, the factor behind it and the soft cap behind that. */
  private scores(tensor: string): { scores: OnnxNode; softCap: number | null; scale: number } {
    const { graph, config } = this.walk;
    let node = graph.producer(this.behindCasts(tensor));
    const path: OnnxNode[] = [];
    while (node && !isOp(node, 'MatMul')) {
      if (path.push(node) > SOFTMAX_HOPS) {
        throw unsupported(node, 'it lies between the scores of attention and their softmax');
      }
      const next: string = scalarOperand(graph, node)?.other ?? node.inputs[0] ?? '';
      node = graph.producer(next);
    }
    if (node === undefined) throw lost(graph, tensor, 'the product of queries and keys');
    graph.claim(node);
    // Forward again: factor, then cap, then casts.
    let at = node.outputs[0] ?? '';
    let scale = 1;
    let softCap: number | null = null;
    while (at !== tensor) {
      const capped = readSoftCap(this.walk, at);
      if (capped.cap !== null) {
        if (softCap !== null) throw unsupported(node, 'its scores are capped twice');
        softCap = capped.cap;
        at = capped.output;
        continue;
      }
      const step = path.find((one) => one.inputs.includes(at));
      const operand = step && scalarOperand(graph, step);
      if (step && isFloatCast(step)) graph.claim(step);
      else if (operand && softCap === null && (isOp(step, 'Mul') || isOp(step, 'Div'))) {
        scale *= isOp(step, 'Mul') ? operand.value : 1 / operand.value;
        graph.claim(step);
      } else throw unsupported(step ?? node, 'it is no factor or cap of attention scores');
      at = step.outputs[0] ?? '';
    }
    if (softCap !== null && !near(softCap, config.attentionSoftCap ?? 0)) {
      throw unsupported(node, `its scores are capped at ${softCap}, against config.json`);
    }
    return { scores: node, softCap, scale };
  }

  /** One side of the score product: its constant factor and the rotated heads behind it. */
  private operand(scores: OnnxNode, index: number, role: 'query' | 'key') {
    const { graph } = this.walk;
    let scale = 1;
    let tensor = this.strip(scores.inputs[index] ?? '', role);
    for (;;) {
      const node = graph.producer(tensor);
      const factor = node && isOp(node, 'Mul') ? scalarOperand(graph, node) : undefined;
      const divisor =
        node && isOp(node, 'Div') && graph.scalar(node.inputs[1] ?? '') !== undefined
          ? scalarOperand(graph, node)
          : undefined;
      const found = factor ?? divisor;
      if (node === undefined || found === undefined) return { tensor, scale };
      graph.claim(node);
      scale *= factor ? found.value : 1 / found.value;
      tensor = this.strip(found.other, role);
    }
  }

  private behindCasts(tensor: string): string {
    const { graph } = this.walk;
    let at = tensor;
    for (let node = graph.producer(at); node && isFloatCast(node); node = graph.producer(at)) {
      graph.claim(node);
      at = node.inputs[0] ?? '';
    }
    return at;
  }

  /** What lies before operators that only move, repeat or cast values, and before the cache. */
  private strip(tensor: string, role: 'query' | 'key' | 'value'): string {
    const { graph } = this.walk;
    let at = tensor;
    for (;;) {
      const node = graph.producer(at);
      if (node === undefined) return at;
      if (isOp(node, 'Transpose')) {
        const perm = node.attributes.get('perm');
        const order = perm?.kind === 'ints' ? perm.value.join('') : '';
        const allowed = role === 'key' ? ['0213', '0132', '0231'] : ['0213'];
        if (!allowed.includes(order)) throw unsupported(node, `it turns axes as ${order}`);
      } else if (isOp(node, 'Unsqueeze')) {
        const axes = node.attributes.get('axes');
        const axis = axes?.kind === 'ints' ? axes.value[0] : graph.scalar(node.inputs[1] ?? '');
        if (role === 'query' || axis !== 2) throw unsupported(node, 'it repeats no KV heads');
      } else if (isOp(node, 'Concat')) {
        const part = role === 'key' ? 'key' : 'value';
        const past = `past_key_values.${this.layer}.${part}`;
        const first = this.behindCasts(node.inputs[0] ?? '');
        if (role === 'query' || node.inputs.length !== 2 || first !== past) {
          throw unsupported(node, `it does not put "${past}" in front`);
        }
        graph.claim(node);
        at = node.inputs[1] ?? '';
        continue;
      } else if (!(isFloatCast(node) || isOp(node, 'Reshape') || isOp(node, 'Expand'))) {
        return at;
      }
      graph.claim(node);
      for (const shape of node.inputs.slice(1)) claimPlumbing(graph, shape);
      at = node.inputs[0] ?? '';
    }
  }

  /** From rotated heads back to their projection. */
  private rotated(tensor: string, scores: OnnxNode) {
    const { graph, config } = this.walk;
    const node = graph.producer(tensor);
    const rotation = node && isOp(node, 'Add') ? readRotation(this.walk, node) : undefined;
    if (rotation === undefined) throw unsupported(scores, `"${tensor}" is not rotated by position`);
    const heads = this.strip(rotation.input, 'query');
    const plain = this.sites.find(({ site }) => site.output === heads);
    if (plain) return { from: plain, rotary: rotation.rotary, norm: undefined };
    // An RMSNorm lies in between: find it from the projection that it reads.
    const norm = graph.producer(heads);
    for (const from of this.sites) {
      for (const apart of graph.consumers(from.site.output)) {
        if (!isOp(apart, 'Reshape')) continue;
        const readsIt = this.reaches(apart.outputs[0] ?? '', heads);
        const found = readsIt && readNormOf(this.walk, apart.outputs[0] ?? '', config.headDim);
        if (!found || found.output !== heads) continue;
        graph.claim(apart);
        for (const shape of apart.inputs.slice(1)) claimPlumbing(graph, shape);
        const weight: DenseTensor = found.weight;
        return { from, rotary: rotation.rotary, norm: weight };
      }
    }
    throw unsupported(norm ?? scores, `"${heads}" is no projection of "${this.input}"`);
  }

  /** Does `to` depend on `from` through the few nodes of an RMSNorm? */
  private reaches(from: string, to: string): boolean {
    return this.walk.graph.nearest([from], 10, (node) => node.outputs.includes(to)) !== undefined;
  }

  private siteOf(tensor: string, mix: OnnxNode) {
    const found = this.sites.find(({ site }) => site.output === tensor);
    if (found) return found;
    throw unsupported(mix, `its values "${tensor}" are no projection of "${this.input}"`);
  }

  /** The MatMul of probabilities and values; rows without any key may be set to zero before it. */
  private behindSoftmax(softmax: OnnxNode): OnnxNode {
    const { graph } = this.walk;
    let at = softmax.outputs[0] ?? '';
    for (;;) {
      const readers = graph.consumers(at).filter((node) => !isOp(node, 'IsNaN'));
      const [node, ...others] = readers;
      if (node === undefined || others.length > 0) throw lost(graph, at, 'the mix of values');
      graph.claim(node);
      if (isOp(node, 'MatMul') && node.inputs[0] === at) return node;
      if (isOp(node, 'Where') && node.inputs[2] === at) {
        const test = graph.producer(node.inputs[0] ?? '');
        if (
          test === undefined ||
          !isOp(test, 'IsNaN') ||
          graph.scalar(node.inputs[1] ?? '') !== 0
        ) {
          throw unsupported(node, 'it changes attention probabilities');
        }
        graph.claim(test);
      } else if (!isFloatCast(node)) {
        throw unsupported(node, 'it changes attention probabilities');
      }
      at = node.outputs[0] ?? '';
    }
  }

  /** [batch, heads, rows, headDim] to [batch, rows, heads · headDim]. */
  private joinHeads(tensor: string): string {
    const { graph } = this.walk;
    let at = tensor;
    for (const opType of ['Transpose', 'Reshape']) {
      const [node, ...others] = graph.consumers(at).filter((one) => !isOp(one, 'Shape'));
      if (node === undefined || others.length > 0 || !isOp(node, opType)) {
        throw lost(graph, at, `the ${opType} that joins heads`);
      }
      graph.claim(node);
      for (const shape of node.inputs.slice(1)) claimPlumbing(graph, shape);
      at = node.outputs[0] ?? '';
    }
    return at;
  }
}
