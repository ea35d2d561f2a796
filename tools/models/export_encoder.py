"""Exports the guard or the judge: torch.onnx, then onnxruntime's int4 block-32 weights.

`python export_encoder.py guard --encoder build/guard --out ../../public/models/guard`
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

from train_encoder import MAX_LENGTH, SPECS, build


class Logits(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("which", choices=list(SPECS))
    ap.add_argument("--encoder", type=Path, required=True)
    ap.add_argument("--out", type=Path, required=True)
    args = ap.parse_args()
    model = build(SPECS[args.which])
    model.load_state_dict(torch.load(args.encoder / "weights.pt"))
    model.eval()
    (args.out / "onnx").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        full = Path(tmp) / "model.onnx"
        ids = torch.ones(2, 16, dtype=torch.long)
        torch.onnx.export(
            Logits(model), (ids, ids), str(full), input_names=["input_ids", "attention_mask"], output_names=["logits"],
            dynamic_axes={"input_ids": {0: "batch", 1: "length"}, "attention_mask": {0: "batch", 1: "length"}, "logits": {0: "batch"}},
            opset_version=17, dynamo=False)
        quantiser = MatMulNBitsQuantizer(
            onnx.load(str(full)), algo_config=DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True))
        quantiser.process()
        onnx.save(quantiser.model.model, str(args.out / "onnx" / "model_q4.onnx"))
    config = json.loads(model.config.to_json_string())
    config["architectures"] = ["BertForSequenceClassification"]
    for key in ("_attn_implementation", "attn_implementation", "dtype"):
        config.pop(key, None)
    config["max_position_embeddings"] = MAX_LENGTH
    config["transformers.js_config"] = {"dtype": "q4", "use_external_data_format": False}
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(args.encoder / name, args.out / name)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
