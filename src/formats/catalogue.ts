/**
 * The models that the pages offer. Nothing of a hub was opened while this was written: what is
 * known of each file, and from where, is said in `verified` and `unverified`.
 */
import { DEFAULT_REVISION, type Dtype, type ModelSource } from './model-source';

export type { Dtype, HubSource, ModelSource } from './model-source';
export { labelOf, ModelSourceError, parseModelSource } from './model-source';

export interface CatalogueEntry {
  role: 'student' | 'guard';
  title: string;
  source: ModelSource;
  /** Of bundled students: what a share link calls them, the first 16 hex digits of their manifest's sha256. */
  modelId?: string;
  /** Of the weights alone; null where nobody has said how many. */
  bytes: number | null;
  /** False where `bytes` is rounded. */
  bytesExact: boolean;
  parameters: number;
  licence: { name: string; url: string };
  /** Below these WebGPU limits the model cannot be trained, in bytes. */
  minimumLimits: { maxStorageBufferBindingSize: number; maxBufferSize: number; f16?: boolean };
  family: 'classifier' | 'llama' | 'qwen2' | 'qwen3' | 'gemma2';
  /** How a guard says its verdict; absent for students. */
  verdict?: Verdict;
  verified: readonly string[];
  unverified: readonly string[];
  /** By path, 64 hex digits: only what is published beside the exact revision. */
  sha256?: Readonly<Record<string, string>>;
  /** One sentence for the person who chooses. */
  note: string;
}

/** A classifier's labels, or the first words of a generated answer, that mean "safe". */
export type Verdict =
  { kind: 'labels'; safe: readonly string[] } | { kind: 'generated'; safe: string; unsafe: string };

const MIB = 2 ** 20;
/** What every WebGPU device has: buffers above it are split by the engine. */
const ANY_DEVICE = { maxStorageBufferBindingSize: 128 * MIB, maxBufferSize: 256 * MIB };
const APACHE = { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' };
const MIT = { name: 'MIT', url: 'https://opensource.org/license/mit' };
const LLAMA = {
  name: 'Llama 3.2 Community License',
  url: 'https://www.llama.com/llama3_2/license/',
};
const GEMMA = { name: 'Gemma Terms of Use', url: 'https://ai.google.dev/gemma/terms' };

const BUNDLED_CHECKS = ['Every byte, by the sha256 in its manifest', 'Scores, in its manifest'];
const LISTED = 'Name, licence and rounded size, in published listings of the repository';
const EXACT_BYTES = 'Revision and exact bytes, reported by projects that use it';
const NOT_OPENED = 'The file itself: structure and answers are checked when it is loaded';
const NO_HASH = 'sha256: pinned to what the hub says when it is first downloaded';
const FAMILY_READ = 'Its family, on small random exports against PyTorch';
const THINKS = 'Answers: its template lets it think first, which an answer of 48 tokens cuts off';
const MOVING = 'Revision: pinned to the newest commit when it is first downloaded';

const bundled = (name: string): ModelSource => ({ kind: 'bundled', name });
const hub = (repo: string, dtype: Dtype, revision = DEFAULT_REVISION): ModelSource => ({
  kind: 'hub',
  repo,
  revision,
  dtype,
});

/** In the order in which support was built; parameters of hub models as their authors state them. */
export const CATALOGUE: readonly CatalogueEntry[] = [
  {
    role: 'student',
    title: 'Pocket',
    source: bundled('pocket'),
    modelId: 'bef6d4578730cc0e',
    bytes: 1_811_983,
    bytesExact: true,
    parameters: 1_311_872,
    licence: MIT,
    minimumLimits: ANY_DEVICE,
    family: 'llama',
    verified: BUNDLED_CHECKS,
    unverified: [],
    note: 'Ships with this site and trains in minutes; it knows one small domain.',
  },
  {
    role: 'student',
    title: 'Class',
    source: bundled('class'),
    modelId: '66f968dcbfd2e67e',
    bytes: 5_508_098,
    bytesExact: true,
    parameters: 5_770_496,
    licence: MIT,
    minimumLimits: ANY_DEVICE,
    family: 'llama',
    verified: BUNDLED_CHECKS,
    unverified: [],
    note: 'Ships with this site too: the same domain, twice as wide; for any real graphics card.',
  },
  {
    role: 'student',
    title: 'SmolLM2 135M Instruct',
    source: hub(
      'onnx-community/SmolLM2-135M-Instruct-ONNX',
      'q4',
      'b8a5c0f183b78c55955a5364f610c36668b5e681',
    ),
    bytes: 180_581_125,
    bytesExact: true,
    parameters: 134_515_008,
    licence: APACHE,
    minimumLimits: ANY_DEVICE,
    family: 'llama',
    verified: [EXACT_BYTES],
    unverified: [NOT_OPENED, NO_HASH],
    note: 'The smallest general model: a first try on any graphics card.',
  },
  {
    role: 'student',
    title: 'SmolLM2 360M Instruct',
    source: hub(
      'onnx-community/SmolLM2-360M-Instruct-ONNX',
      'q4',
      'fe7c7db4c8921c9e3fa1c65cfd296fb3b1b1a8f9',
    ),
    bytes: null,
    bytesExact: false,
    parameters: 361_821_120,
    licence: APACHE,
    minimumLimits: ANY_DEVICE,
    family: 'llama',
    verified: ['Revision, reported by projects that use it'],
    unverified: ['Bytes: about 0.4 GB, as of a twin repository', NOT_OPENED, NO_HASH],
    note: 'Answers noticeably better than 135M and still fits a laptop.',
  },
  {
    role: 'student',
    title: 'Qwen2.5 0.5B Instruct',
    source: hub(
      'onnx-community/Qwen2.5-0.5B-Instruct',
      'q4',
      'cc5cc01a65cc3ff17bdb73a7de33d879f62599b0',
    ),
    bytes: 786_156_820,
    bytesExact: true,
    parameters: 494_032_768,
    licence: APACHE,
    minimumLimits: ANY_DEVICE,
    family: 'qwen2',
    verified: [EXACT_BYTES],
    unverified: [NOT_OPENED, NO_HASH],
    note: 'Speaks many languages; two thirds of its bytes are the word table.',
  },
  {
    role: 'student',
    title: 'Qwen3 0.6B',
    source: hub('onnx-community/Qwen3-0.6B-ONNX', 'q4f16'),
    bytes: null,
    bytesExact: false,
    parameters: 596_049_920,
    licence: APACHE,
    minimumLimits: { ...ANY_DEVICE, f16: true },
    family: 'qwen3',
    verified: ['Name and dtype, in transformers.js’s own examples', FAMILY_READ],
    unverified: [MOVING, 'Bytes', NOT_OPENED, NO_HASH, THINKS],
    note: 'Newer and stronger than Qwen2.5 of its size; it may think aloud before it answers.',
  },
  {
    role: 'student',
    title: 'Llama 3.2 1B Instruct',
    source: hub(
      'onnx-community/Llama-3.2-1B-Instruct-ONNX',
      'q4',
      '14007543b6dc92de88daf96a9aa85d2f95ace6ef',
    ),
    bytes: 1_690_000_000,
    bytesExact: false,
    parameters: 1_235_814_400,
    licence: LLAMA,
    minimumLimits: ANY_DEVICE,
    family: 'llama',
    verified: ['Revision and rounded bytes, reported by projects that use it'],
    unverified: [NOT_OPENED, NO_HASH],
    note: 'A model that people really use; wants a graphics card with 6 GB or more.',
  },
  {
    role: 'student',
    title: 'Qwen2.5 1.5B Instruct',
    source: hub(
      'onnx-community/Qwen2.5-1.5B-Instruct',
      'q4',
      '6287331f475a3e20e8c879be8fd4bf3551ad9d34',
    ),
    bytes: 1_787_566_590,
    bytesExact: true,
    parameters: 1_543_714_304,
    licence: APACHE,
    minimumLimits: ANY_DEVICE,
    family: 'qwen2',
    verified: [EXACT_BYTES],
    unverified: [NOT_OPENED, NO_HASH, 'Chat on the runtime: one file near its memory limit'],
    note: 'Strong for its size; a single file of 1.8 GB.',
  },
  {
    role: 'student',
    title: 'Llama 3.2 3B Instruct',
    source: hub('onnx-community/Llama-3.2-3B-Instruct', 'q4f16'),
    bytes: 2_370_000_000,
    bytesExact: false,
    parameters: 3_212_749_824,
    licence: LLAMA,
    minimumLimits: { ...ANY_DEVICE, f16: true },
    family: 'llama',
    verified: [LISTED],
    unverified: [MOVING, NOT_OPENED, NO_HASH],
    note: 'Near the limit of a browser tab; wants a graphics card with 10 GB or more.',
  },
  {
    role: 'student',
    title: 'Gemma 2 2B (Japanese, Instruct)',
    source: hub('onnx-community/gemma-2-2b-jpn-it', 'q4f16'),
    bytes: null,
    bytesExact: false,
    parameters: 2_614_341_888,
    licence: GEMMA,
    minimumLimits: { ...ANY_DEVICE, f16: true },
    family: 'gemma2',
    verified: ['Name of the repository, reported by projects that use it'],
    unverified: [MOVING, 'Bytes and whether it has a q4f16 file', NOT_OPENED, NO_HASH],
    note: 'The one Gemma 2 in this form that is known to be open; it answers in English too.',
  },
  {
    role: 'guard',
    title: 'Bundled guard',
    source: bundled('guard'),
    bytes: 866_261,
    bytesExact: true,
    parameters: 356_162,
    licence: MIT,
    minimumLimits: ANY_DEVICE,
    family: 'classifier',
    verdict: { kind: 'labels', safe: ['safe'] },
    verified: BUNDLED_CHECKS,
    unverified: [],
    note: 'Ships with this site; knows the domain of the bundled student only.',
  },
  {
    role: 'guard',
    title: 'Bundled judge',
    source: bundled('judge'),
    bytes: 1_463_584,
    bytesExact: true,
    parameters: 626_434,
    licence: MIT,
    minimumLimits: ANY_DEVICE,
    family: 'classifier',
    verdict: { kind: 'labels', safe: ['safe'] },
    verified: BUNDLED_CHECKS,
    unverified: [],
    note: 'Ships with this site; scores runs, so better not the guard that also taught.',
  },
  {
    role: 'guard',
    title: 'Comment Moderation (DistilBERT)',
    source: hub('onnx-community/Comment-Moderation-ONNX', 'q8'),
    bytes: null,
    bytesExact: false,
    parameters: 66_960_000,
    licence: {
      name: 'see the model page',
      url: 'https://huggingface.co/onnx-community/Comment-Moderation-ONNX',
    },
    minimumLimits: ANY_DEVICE,
    family: 'classifier',
    verdict: { kind: 'labels', safe: ['OK'] },
    verified: ['Name, architecture and use with transformers.js, in published listings'],
    unverified: ['Licence, labels, bytes and dtypes', MOVING, NOT_OPENED, NO_HASH],
    note: 'A small text classifier on the runtime; it judges wording more than intent.',
  },
  {
    role: 'guard',
    title: 'Llama Guard 3 1B',
    source: hub(
      'onnx-community/Llama-Guard-3-1B',
      'q4',
      'b4f19422fdd1847a0695341f06049b43d5b60a3a',
    ),
    bytes: 1_820_000_000,
    bytesExact: false,
    parameters: 1_498_000_000,
    licence: LLAMA,
    minimumLimits: ANY_DEVICE,
    family: 'llama',
    verdict: { kind: 'generated', safe: 'safe', unsafe: 'unsafe' },
    verified: ['Revision, licence, file names and rounded bytes, in published listings'],
    unverified: [NOT_OPENED, NO_HASH],
    note: 'A generative guard: it reads a whole conversation and answers safe or unsafe.',
  },
];
