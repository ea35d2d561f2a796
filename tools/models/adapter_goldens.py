"""Goldens of LoRA and steering: `python adapter_goldens.py --student ../../public/models/pocket --out ../../tests/fixtures/pocket`.

The batch of golden.json, in float64 on the same weights, with the adapters' values drawn here. Values
and gradients lie as src/engine/trainable/shape.ts lays them out; all sizes of this student are multiples
of 64, so there are no gaps.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from goldens import save
from llama import Llama
from onnx_weights import load_dequantised
from steer import losses

MODULES = {"q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
           "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"}

CASES = {
    "lora": {"kind": "lora", "rank": 3, "alpha": 6, "targets": list(MODULES)},
    "lora-qv": {"kind": "lora", "rank": 2, "alpha": 4, "targets": ["q", "v"]},
    "steering": {"kind": "steering", "layers": [0, 1, 2, 3]},
    "steering-one": {"kind": "steering", "layers": [2]},
}


class Adapter:
    """Trained parts as forward hooks, which do nothing where no gradient is wanted: the teacher's pass."""

    def __init__(self, model: Llama, shape: dict, seed: int):
        g = torch.Generator().manual_seed(seed)
        self.parts: list[Tensor] = []
        self.hooks = []

        def draw(rows: int, width: int, scale: float) -> Tensor:
            part = (scale * torch.randn(rows, width, generator=g)).float().double().requires_grad_(True)
            self.parts.append(part)
            return part

        for i, layer in enumerate(model.model.layers):
            if shape["kind"] == "steering":
                if i in shape["layers"]:
                    v = draw(1, model.c.hidden_size, 0.3)
                    self.hooks.append(layer.register_forward_hook(self.steer(v)))
                continue
            for target in MODULES:
                if target in shape["targets"]:
                    linear = layer.get_submodule(MODULES[target])
                    a = draw(shape["rank"], linear.in_features, linear.in_features**-0.5)
                    b = draw(shape["rank"], linear.out_features, 0.05)
                    scale = shape["alpha"] / shape["rank"]
                    self.hooks.append(linear.register_forward_hook(self.lora(a, b, scale)))

    @staticmethod
    def lora(a: Tensor, b: Tensor, scale: float):
        return lambda _, args, y: y + scale * (args[0] @ a.T) @ b if torch.is_grad_enabled() else y

    @staticmethod
    def steer(v: Tensor):
        return lambda _, args, out: (out[0] + v, out[1]) if torch.is_grad_enabled() else out

    def flat(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self.parts])

    def gradient(self) -> Tensor:
        return torch.cat([p.grad.reshape(-1) for p in self.parts])

    def remove(self) -> None:
        for hook in self.hooks:
            hook.remove()


def loss_and_gradient(model: Llama, shape: dict, seed: int, golden: dict, objective: str) -> tuple[Adapter, float]:
    adapter = Adapter(model, shape, seed)
    none = torch.zeros(0, model.c.hidden_size, dtype=torch.float64)
    try:
        loss, _ = losses(model, none, golden["examples"], golden["refusals"], objective)
        loss.backward()
    finally:
        adapter.remove()
    return adapter, loss.item()


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--student", type=Path, required=True)
    ap.add_argument("--out", type=Path, required=True)
    args = ap.parse_args()
    torch.set_num_threads(1)
    model = load_dequantised(args.student)
    golden = json.loads((args.out / "golden.json").read_text())
    cases = {}
    for seed, (name, shape) in enumerate(CASES.items()):
        case: dict = {"shape": shape, "seed": seed, "losses": {}, "arrays": {}}
        for objective in ("tv", "kl"):
            adapter, case["losses"][objective] = loss_and_gradient(model, shape, seed, golden, objective)
            file = f"{name}_{objective}_gradient.f32"
            case["arrays"][f"{objective}Gradient"] = save(args.out, file, adapter.gradient())
        case["arrays"]["values"] = save(args.out, f"{name}_values.f32", adapter.flat())
        active = Adapter(model, shape, seed)
        hidden, _ = model.hidden(model.embed(torch.tensor([golden["ids"]])))
        case["arrays"]["logits"] = save(args.out, f"{name}_logits.f32", model.lm_head(hidden)[0, -4:].detach())
        active.remove()
        cases[name] = case
    (args.out / "adapters.json").write_text(json.dumps(cases, indent=1) + "\n")


if __name__ == "__main__":
    main()
