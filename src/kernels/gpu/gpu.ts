/**
 * The one place that owns a `GPUDevice`: limits and features asked from the adapter, a cache of
 * compute pipelines, buffers that are counted, uploads and read-backs.
 *
 * Kernels receive a `Gpu`, never a bare device, so that tests can switch features off and a
 * planner can see every byte.
 */
import {
  GpuLostError,
  GpuMemoryError,
  GpuSizeError,
  GpuUnavailableError,
  GpuValidationError,
} from './errors';

/** Limits that we raise to what the adapter offers; everything else stays at WebGPU's default. */
const RAISED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupsPerDimension',
] as const;

export interface GpuOptions {
  /** Use subgroup operations where the adapter has them (default true; tests switch them off). */
  subgroups?: boolean;
  /** Ask for timestamp queries where offered (benchmarks only: they cost precision elsewhere). */
  timestamps?: boolean;
  powerPreference?: GPUPowerPreference;
  /**
   * Bind at most this many bytes: tests see what weaker adapters do. The device is asked for no more
   * than that, or for WebGPU's default where that is more.
   */
  maxBindingBytes?: number;
}

export interface GpuDescription {
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  isFallbackAdapter: boolean;
  subgroups: boolean;
  subgroupMinSize: number;
  subgroupMaxSize: number;
  f16: boolean;
  maxBufferSize: number;
  maxStorageBufferBindingSize: number;
}

/** Usage of a buffer that kernels read and write and that tests may read back. */
export const STORAGE_USAGE = 0x80 | 0x04 | 0x08; // STORAGE | COPY_SRC | COPY_DST
const STORAGE_BINDING = 0x80;
const UNIFORM_USAGE = 0x40 | 0x08; // UNIFORM | COPY_DST
const READBACK_USAGE = 0x01 | 0x08; // MAP_READ | COPY_DST

/** Read-back buffers are kept for the next read up to this size, and this many of them. */
const STAGING_BYTES = 16 * 2 ** 20;
const STAGING_COUNT = 4;

export class Gpu {
  readonly device: GPUDevice;
  readonly description: GpuDescription;
  /** Bytes of live buffers made through this object. */
  allocatedBytes = 0;
  /** Highest `allocatedBytes` seen. */
  peakBytes = 0;
  /** Number of pipelines compiled so far, or being compiled. */
  pipelineCount = 0;
  /** Called whenever a pipeline is asked for or ready: how many are ready, of how many asked for. */
  onPipeline: ((ready: number, asked: number) => void) | null = null;
  /** Buffers, bind groups and submits made so far: a warm training step makes only submits. */
  bufferCount = 0;
  bindGroupCount = 0;
  submitCount = 0;
  /** Most storage buffers that any bind group so far has had; every adapter allows eight. */
  mostStorageBuffers = 0;

  private pipelinesReady = 0;
  private readonly staging: GPUBuffer[] = [];
  private readonly pipelines = new Map<string, Promise<GPUComputePipeline>>();
  private readonly sizes = new WeakMap<GPUBuffer, number>();
  private firstError: Error | null = null;
  private destroyed = false;

  private constructor(device: GPUDevice, description: GpuDescription) {
    this.device = device;
    this.description = description;
    // The first error is the cause; later ones are mostly its echoes.
    device.addEventListener('uncapturederror', (event) => {
      const { error } = event as GPUUncapturedErrorEvent;
      const Kind = error instanceof GPUOutOfMemoryError ? GpuMemoryError : GpuValidationError;
      this.firstError ??= new Kind(error.message);
    });
    void device.lost.then((info) => {
      if (!this.destroyed) this.firstError ??= new GpuLostError(info.message || info.reason);
    });
  }

  /**
   * @throws GpuUnavailableError where there is no adapter or no device can be had.
   */
  static async create(gpu: GPU | undefined, options: GpuOptions = {}): Promise<Gpu> {
    if (!gpu) throw new GpuUnavailableError('This browser has no WebGPU.');
    const adapter = await gpu.requestAdapter({
      powerPreference: options.powerPreference ?? 'high-performance',
    });
    if (!adapter) throw new GpuUnavailableError('WebGPU is there, but no graphics adapter is.');
    const features: GPUFeatureName[] = [];
    const subgroups = (options.subgroups ?? true) && adapter.features.has('subgroups');
    if (subgroups) features.push('subgroups');
    if (options.timestamps && adapter.features.has('timestamp-query'))
      features.push('timestamp-query');
    const requiredLimits: Record<string, number> = {};
    for (const name of RAISED_LIMITS) requiredLimits[name] = adapter.limits[name];
    const most = options.maxBindingBytes ?? Infinity;
    for (const name of ['maxBufferSize', 'maxStorageBufferBindingSize'] as const) {
      requiredLimits[name] = Math.min(adapter.limits[name], most);
    }
    let device: GPUDevice;
    try {
      device = await adapter.requestDevice({ requiredFeatures: features, requiredLimits });
    } catch (cause) {
      throw new GpuUnavailableError(
        'The graphics adapter refused to open. Close other tabs that use the GPU and try again.',
        { cause },
      );
    }
    const info = adapter.info;
    return new Gpu(device, {
      vendor: info.vendor,
      architecture: info.architecture,
      device: info.device,
      description: info.description,
      isFallbackAdapter: info.isFallbackAdapter ?? /swiftshader|llvmpipe/i.test(info.description),
      subgroups,
      subgroupMinSize: info.subgroupMinSize ?? 0,
      subgroupMaxSize: info.subgroupMaxSize ?? 0,
      f16: adapter.features.has('shader-f16'),
      maxBufferSize: Math.min(most, device.limits.maxBufferSize),
      maxStorageBufferBindingSize: Math.min(most, device.limits.maxStorageBufferBindingSize),
    });
  }

  get subgroups(): boolean {
    return this.description.subgroups;
  }

  /** The most bytes that one storage buffer may have. */
  get bindingBytes(): number {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.description;
    return Math.min(maxBufferSize, maxStorageBufferBindingSize);
  }

  /** Throws the first error that the device reported, if any. Call after a read-back. */
  check(): void {
    if (this.firstError) throw this.firstError;
  }

  /** Compiles `code` (entry point `main`) once; the same text gives the same pipeline. */
  pipeline(label: string, code: string): Promise<GPUComputePipeline> {
    let pipeline = this.pipelines.get(code);
    if (!pipeline) {
      this.pipelineCount++;
      this.onPipeline?.(this.pipelinesReady, this.pipelineCount);
      const module = this.device.createShaderModule({ label, code });
      pipeline = this.device
        .createComputePipelineAsync({
          label,
          layout: 'auto',
          compute: { module, entryPoint: 'main' },
        })
        .then((made) => {
          this.pipelinesReady++;
          this.onPipeline?.(this.pipelinesReady, this.pipelineCount);
          return made;
        })
        .catch(async (cause: unknown) => {
          const info = await module.getCompilationInfo();
          const lines = info.messages.map((m) => `${m.lineNum}:${m.linePos} ${m.message}`);
          throw new GpuValidationError(`${label}: ${lines.join('\n') || String(cause)}`, { cause });
        });
      this.pipelines.set(code, pipeline);
    }
    return pipeline;
  }

  /** A zeroed storage buffer of at least `bytes` (rounded up to 16). */
  storage(label: string, bytes: number): GPUBuffer {
    return this.create(label, bytes, STORAGE_USAGE);
  }

  uniform(label: string, bytes: number): GPUBuffer {
    return this.create(label, bytes, UNIFORM_USAGE);
  }

  /** A storage buffer that holds a copy of `data`. */
  upload(label: string, data: ArrayBufferView): GPUBuffer {
    const buffer = this.storage(label, data.byteLength);
    this.write(buffer, data);
    return buffer;
  }

  /** Writes `data` at `offset` bytes (a multiple of 4); a tail that is no multiple of 4 is padded. */
  write(buffer: GPUBuffer, data: ArrayBufferView, offset = 0): void {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (bytes.byteLength % 4 === 0) {
      this.device.queue.writeBuffer(buffer, offset, bytes as Uint8Array<ArrayBuffer>);
      return;
    }
    const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
    padded.set(bytes);
    this.device.queue.writeBuffer(buffer, offset, padded);
  }

  /** Reads `bytes` from `offset`. Waits for all submitted work. */
  async read(buffer: GPUBuffer, bytes = buffer.size, offset = 0): Promise<ArrayBuffer> {
    const size = Math.ceil(bytes / 4) * 4;
    const copy = await this.readBack(size, (encoder, staging) =>
      encoder.copyBufferToBuffer(buffer, offset, staging, 0, size),
    );
    return bytes === size ? copy : copy.slice(0, bytes);
  }

  /** The first `count` floats of each buffer, all in one read-back. */
  async readFloatsOf(buffers: readonly GPUBuffer[], count: number): Promise<Float32Array[]> {
    const bytes = count * 4;
    const copy = await this.readBack(buffers.length * bytes, (encoder, staging) => {
      for (const [i, buffer] of buffers.entries()) {
        encoder.copyBufferToBuffer(buffer, 0, staging, i * bytes, bytes);
      }
    });
    return buffers.map((_, i) => new Float32Array(copy.slice(i * bytes, (i + 1) * bytes)));
  }

  /** What `record` copies into a read-back buffer of `size` bytes, a multiple of 4. */
  private async readBack(
    size: number,
    record: (encoder: GPUCommandEncoder, staging: GPUBuffer) => void,
  ): Promise<ArrayBuffer> {
    const staging = this.takeStaging(size);
    const encoder = this.device.createCommandEncoder({ label: 'readback' });
    record(encoder, staging);
    this.submit(encoder);
    let sound = false;
    try {
      await staging.mapAsync(1, 0, size);
      const copy = staging.getMappedRange(0, size).slice(0);
      staging.unmap();
      sound = true;
      return copy;
    } catch (cause) {
      this.check();
      throw new GpuLostError('The graphics device stopped answering.', { cause });
    } finally {
      if (sound && staging.size <= STAGING_BYTES) this.keepStaging(staging);
      else this.release(staging);
      this.check();
    }
  }

  /** Ends the encoder and submits what it recorded. */
  submit(encoder: GPUCommandEncoder): void {
    this.submitCount++;
    this.device.queue.submit([encoder.finish()]);
  }

  /** The smallest kept read-back buffer of at least `bytes`, or a new one. */
  private takeStaging(bytes: number): GPUBuffer {
    const at = this.staging.findIndex((kept) => kept.size >= bytes);
    if (at >= 0) return this.staging.splice(at, 1)[0]!;
    // Sizes that differ a little from read to read share a buffer.
    const size = 2 ** Math.ceil(Math.log2(Math.max(256, bytes)));
    return this.create('readback', bytes > STAGING_BYTES ? bytes : size, READBACK_USAGE);
  }

  private keepStaging(buffer: GPUBuffer): void {
    this.staging.push(buffer);
    this.staging.sort((a, b) => a.size - b.size);
    if (this.staging.length > STAGING_COUNT) this.release(this.staging.shift());
  }

  async readFloats(buffer: GPUBuffer, count = buffer.size / 4, offset = 0): Promise<Float32Array> {
    return new Float32Array(await this.read(buffer, count * 4, offset));
  }

  async readUints(buffer: GPUBuffer, count = buffer.size / 4, offset = 0): Promise<Uint32Array> {
    return new Uint32Array(await this.read(buffer, count * 4, offset));
  }

  /** Copies `bytes` from the start of one buffer to `offset` of another, in submission order. */
  copy(from: GPUBuffer, to: GPUBuffer, bytes: number, offset = 0): void {
    const encoder = this.device.createCommandEncoder({ label: 'copy' });
    encoder.copyBufferToBuffer(from, 0, to, offset, bytes);
    this.submit(encoder);
  }

  /** Puts zeros into the first `bytes` (a multiple of 4) of a buffer, in submission order. */
  clear(buffer: GPUBuffer, bytes: number): void {
    const encoder = this.device.createCommandEncoder({ label: 'clear' });
    encoder.clearBuffer(buffer, 0, bytes);
    this.submit(encoder);
  }

  /** Records `ops` in order into one pass and submits it. */
  run(ops: readonly Op[], label = 'run'): void {
    const encoder = this.device.createCommandEncoder({ label });
    const pass = encoder.beginComputePass({ label });
    for (const op of ops) encode(pass, op);
    pass.end();
    this.submit(encoder);
  }

  release(...buffers: (GPUBuffer | undefined)[]): void {
    for (const buffer of buffers) {
      if (!buffer) continue;
      this.allocatedBytes -= this.sizes.get(buffer) ?? 0;
      this.sizes.delete(buffer);
      buffer.destroy();
    }
  }

  destroy(): void {
    this.destroyed = true;
    this.device.destroy();
  }

  private create(label: string, bytes: number, usage: number): GPUBuffer {
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    const most = usage === READBACK_USAGE ? this.device.limits.maxBufferSize : this.bindingBytes;
    if (size > most) {
      throw new GpuSizeError(`${label} needs ${size} bytes; this device binds at most ${most}.`);
    }
    this.bufferCount++;
    const buffer = this.device.createBuffer({ label, size, usage });
    this.sizes.set(buffer, size);
    this.allocatedBytes += size;
    this.peakBytes = Math.max(this.peakBytes, this.allocatedBytes);
    return buffer;
  }
}

/**
 * A run of rows [start, start + rows) that an operation works on, as a 16-byte uniform
 * `{ start, rows, 0, 0 }`. Row counts change from step to step, so no kernel bakes them in; within
 * one submit a span keeps one value.
 */
export class Span {
  readonly buffer: GPUBuffer;
  start = 0;
  rows = 0;

  constructor(
    private readonly gpu: Gpu,
    label: string,
  ) {
    this.buffer = gpu.uniform(`span ${label}`, 16);
  }

  set(start: number, rows: number): void {
    if (start === this.start && rows === this.rows) return;
    this.start = start;
    this.rows = rows;
    this.gpu.write(this.buffer, new Uint32Array([start, rows, 0, 0]));
  }

  release(): void {
    this.gpu.release(this.buffer);
  }
}

/** One bound dispatch. Made once, encoded every step; the grid follows the spans that it reads. */
export interface Op {
  readonly label: string;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  /** Workgroups [x, y, z] for the present values of the spans; any zero skips the dispatch. */
  grid(): readonly [number, number, number];
  /**
   * Floating-point operations for the present spans or, of an operation that may be run in parts, for
   * some of its rows; absent: next to none.
   */
  work?(part?: Pick<Span, 'start' | 'rows'>): number;
  /** The span whose rows may be run a part at a time, with the same result; absent: none. */
  rows?: Span;
}

export function encode(pass: GPUComputePassEncoder, op: Op): void {
  const [x, y, z] = op.grid();
  if (x === 0 || y === 0 || z === 0) return;
  pass.setPipeline(op.pipeline);
  pass.setBindGroup(0, op.bindGroup);
  pass.dispatchWorkgroups(x, y, z);
}

/** A buffer, or a part of one that begins at a multiple of 256 bytes. */
export type BufferPart = GPUBuffer | GPUBufferBinding;

/** Binds `buffers` to bindings 0, 1, 2 … of `pipeline` (group 0). */
export function bind(
  gpu: Gpu,
  label: string,
  pipeline: GPUComputePipeline,
  buffers: readonly BufferPart[],
  grid: Op['grid'],
): Op {
  gpu.bindGroupCount++;
  const resources = buffers.map((part) => ('buffer' in part ? part : { buffer: part }));
  const storage = resources.filter(({ buffer }) => buffer.usage & STORAGE_BINDING).length;
  gpu.mostStorageBuffers = Math.max(gpu.mostStorageBuffers, storage);
  const bindGroup = gpu.device.createBindGroup({
    label,
    layout: pipeline.getBindGroupLayout(0),
    entries: resources.map((resource, binding) => ({ binding, resource })),
  });
  return { label, pipeline, bindGroup, grid };
}

/**
 * Spreads `count` workgroups over x and y, because one dimension ends at 65,535. In WGSL the flat
 * index is `wid.x + wid.y * num_workgroups.x`, and groups past `count` must return.
 */
export function spread(count: number): readonly [number, number, number] {
  if (count <= 65535) return [count, count === 0 ? 0 : 1, 1];
  const y = Math.ceil(count / 65535);
  return [Math.ceil(count / y), y, 1];
}
