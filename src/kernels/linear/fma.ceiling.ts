/**
 * What multiply-adds alone reach on an adapter, which is what the linear kernels are measured against:
 *
 * - registers: 12 sums a lane in registers, s = s · a + b, 768 multiply-adds a turn of the loop. No
 *   kernel whose operands do not fit the registers can reach it.
 * - looped: 10 such sums, 40 multiply-adds a turn: what a loop costs a software adapter besides.
 * - plain: 8 such sums, once each a turn, as one writes such a loop: ARCHITECTURE.md's 5.4 GFLOP/s a core
 *   of a software adapter. There it is no ceiling, because the loop costs more than the sums.
 * - tile: the sums of a linear kernel's register tile, carried through the same loop with the same
 *   unrolling and the same dot products, but from operands that stand ready: what the tile could do
 *   were loads, dequantising and sharing between lanes free.
 */
import { bind, type Gpu, type Op } from '../gpu/gpu';
import products from './linear.products.wgsl?raw';
import { UNROLL, type RegisterTile } from './linear.tile';
import { unroll } from './linear.unroll';
import { normals } from '../gpu/testing';

export interface Ceiling {
  op: Op;
  /** Floating-point operations of one run; a multiply-add is two. */
  flops: number;
  release(): void;
}

const CHAINS = `
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let a = y[0];
  let b = y[1];
//#repeat i CHAINS
  var s$i = f32(id.x) + $i.0;
//#done
  for (var n = 0u; n < TURNSu; n++) {
//#repeat j UNROLL
//#repeat i CHAINS
    s$i = s$i * a + b;
//#done
//#done
  }
  y[id.x] = 0.0
//#repeat i CHAINS
    + s$i
//#done
  ;
}`;

async function chains(gpu: Gpu, count: number, unrolled: number, turns: number): Promise<Ceiling> {
  const text = unroll(CHAINS, { CHAINS: count, UNROLL: unrolled }).replace('TURNS', String(turns));
  const pipeline = await gpu.pipeline(`fma ceiling ${count} x ${unrolled}`, text);
  // A card needs waves enough for all of its cores; a software adapter has two.
  const groups = gpu.description.isFallbackAdapter ? 32 : 4096;
  const y = gpu.upload('fma ceiling', new Float32Array(groups * 64).fill(0.5));
  return {
    op: bind(gpu, 'fma ceiling', pipeline, [y], () => [groups, 1, 1]),
    flops: groups * 64 * turns * count * unrolled * 2,
    release: () => gpu.release(y),
  };
}

export const createRegisterCeiling = (gpu: Gpu): Promise<Ceiling> => chains(gpu, 12, 64, 32);
export const createLoopedCeiling = (gpu: Gpu): Promise<Ceiling> => chains(gpu, 10, 4, 512);
export const createPlainCeiling = (gpu: Gpu): Promise<Ceiling> => chains(gpu, 8, 1, 2048);

const TILE = `
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(LANESu)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
//#repeat r ROWS
//#repeat h STEPS
  let x$r_$h = x[id.x + {4*$r+$h}u];
//#done
//#repeat g GROUPS
  var acc$r_$g = vec4<f32>();
//#done
//#done
//#repeat c COLUMNS
//#repeat h STEPS
  let w$h_$c = x[id.x * 2u + {4*$c+$h}u];
//#done
//#done
  for (var k = 0u; k < TURNSu; k++) {
    // Changes from turn to turn, so that no compiler takes the products out of the loop.
    let turn = f32(i32(k));
//#repeat r ROWS
//#repeat h STEPS
    let a$r_$h = x$r_$h * turn;
//#done
${products}
//#done
  }
  y[id.x] = dot(vec4(1.0), vec4<f32>()
//#repeat r ROWS
//#repeat g GROUPS
    + acc$r_$g
//#done
//#done
  );
}`;

export async function createTileCeiling(gpu: Gpu, tile: RegisterTile): Promise<Ceiling> {
  const { rows, columns, lanes } = tile;
  const [turns, groups] = [64, Math.max(4, 64 / lanes)];
  const counts = { ROWS: rows, COLUMNS: columns, GROUPS: columns / 4, STEPS: UNROLL / 4 };
  const text = unroll(TILE, counts).replace('TURNS', String(turns)).replace('LANES', String(lanes));
  const label = `tile ceiling ${rows} x ${columns}`;
  const pipeline = await gpu.pipeline(label, text);
  const x = gpu.upload(label, normals(1, 4 * (2 * groups * lanes + 4 * Math.max(rows, columns))));
  const y = gpu.storage(label, groups * lanes * 4);
  return {
    op: bind(gpu, label, pipeline, [x, y], () => [groups, 1, 1]),
    flops: groups * lanes * turns * rows * columns * UNROLL * 2,
    release: () => gpu.release(x, y),
  };
}
