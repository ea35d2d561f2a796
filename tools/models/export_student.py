"""Exports a student with onnxruntime-genai's model builder: int4 block 32, separate q/k/v, fp32 in and out.

`python export_student.py --student build/pocket --out ../../public/models/pocket`
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import onnx
import torch
from onnxruntime_genai.models import builder
from safetensors.torch import save_file

from train_student import load


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--student", type=Path, required=True)
    ap.add_argument("--out", type=Path, required=True)
    args = ap.parse_args()
    model = load(args.student)
    with tempfile.TemporaryDirectory() as tmp:
        hf, built = Path(tmp) / "hf", Path(tmp) / "built"
        hf.mkdir()
        config = model.c.hf()
        (hf / "config.json").write_text(json.dumps(config, indent=2))
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, str(hf / "model.safetensors"), {"format": "pt"})
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(args.student / name, hf / name)
        # the hub's browser files keep position_ids and a RotaryEmbedding node of its own; the builder
        # does that for DirectML only
        base = sys.modules[builder.Model.__module__]
        base.Model.is_fused_rope_supported = lambda self: False
        options = builder.parse_extra_options(
            None, str(hf), str(built), "int4", "cpu", str(Path(tmp) / "cache"),
            ["disable_qkv_fusion=true", "block_size=32", "is_symmetric=true", "accuracy_level=0",
             "op_types_to_quantize=MatMul", "hf_token=false"])
        builder.create_model(None, str(hf), str(built), "int4", "cpu", str(Path(tmp) / "cache"), **options)
        (args.out / "onnx").mkdir(parents=True, exist_ok=True)
        graph = onnx.load(str(built / "model.onnx"))
        onnx.save(graph, str(args.out / "onnx" / "model_q4.onnx"))
        config["transformers.js_config"] = {"dtype": "q4", "use_external_data_format": False}
        (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        (args.out / "generation_config.json").write_text(json.dumps(
            {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "do_sample": True, "temperature": 1.0, "max_new_tokens": 48},
            indent=2) + "\n")
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(args.student / name, args.out / name)
    print({"inputs": [i.name for i in graph.graph.input], "outputs": [o.name for o in graph.graph.output]})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
