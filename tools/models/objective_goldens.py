"""Goldens of every objective: `python objective_goldens.py --student ../../public/models/pocket --out ../../tests/fixtures/pocket`.

The batch of golden.json in float64 on the same weights, for its soft prompt and two adapters of
adapters.json, which have TV and KL already. Values are written here from probabilities and gradients
are autograd's; the engine has closed forms (src/kernels/loss/divergence.wgsl, token-loss.wgsl).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from adapter_goldens import CASES, Adapter
from goldens import save
from llama import Llama
from onnx_weights import load_dequantised
from steer import EPSILON, T_MAX, run, target

# Inside reverse KL's logarithm, as in the kernel: without it the value is infinite where p = 0.
FLOOR = 1e-37
GAMMA, LEAST, CLIP = 0.4, 0.05, 0.2
DIVERGENCES = ("naive-tv", "reverse-kl", "js", "nll")
TOKENS = ("likelihood", "tailr", "ppo")
OBJECTIVES = (*DIVERGENCES, *TOKENS)
TRAINED = ("soft", "lora-qv", "steering")
# log q(token) less what it was when the token was drawn; beyond the clip on both sides.
DRIFT = (0.0, 0.1, -0.1, 0.5, -0.5)


def advantage(path: int, t: int) -> float:
    """Of both signs, exact in float32."""
    return (((7 * path + 3 * t) % 11) - 4.5) / 4


def xlogy(a: Tensor, b: Tensor) -> Tensor:
    return torch.xlogy(a, b.clamp_min(FLOOR))


def divergence(objective: str, w: Tensor, base: Tensor, rho: Tensor, logits: Tensor) -> Tensor:
    """D at each position; w [T, 1], base and rho [T, V] probabilities."""
    q = F.softmax(logits, -1)
    p = (1 - w) * base + w * rho
    if objective == "naive-tv":
        far = [0.5 * (of - q).abs().sum(-1) for of in (base, rho)]
        return (1 - w[:, 0]) * far[0] + w[:, 0] * far[1]
    if objective == "reverse-kl":
        return (xlogy(q, q) - xlogy(q, p)).sum(-1)
    if objective != "js":
        raise ValueError(f"unknown divergence: {objective}")
    m = (p + q) / 2
    return 0.5 * (xlogy(p, p) - xlogy(p, m) + xlogy(q, q) - xlogy(q, m)).sum(-1)


def token_loss(objective: str, log_q: Tensor, a: Tensor, old: Tensor) -> Tensor:
    if objective == "likelihood":
        return -a * log_q
    if objective == "tailr":
        q = log_q.exp()
        return -a * (q / (GAMMA + (1 - GAMMA) * q)).clamp_min(LEAST).detach() * log_q
    ratio = (log_q - old).exp()
    return -torch.minimum(a * ratio, a * ratio.clamp(1 - CLIP, 1 + CLIP))


def float32(x: Tensor) -> Tensor:
    """What the engine is given, in float64."""
    return x.float().double()


def mixture_loss(objective: str, base: list[Tensor], student: list[Tensor], paths, golden: dict) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for (weight, s, path), log_pi, logits in zip(paths, base, student, strict=True):
        _, w, rows = target(s, path, log_pi, golden["refusals"])
        rho = torch.zeros_like(log_pi)
        for t, row in enumerate(rows):
            for token, share in row.items():
                rho[t, token] = share
        w = float32(w)[:, None]
        total = total + weight * divergence(objective, w, log_pi.exp(), float32(rho), logits).sum()
    return total


def nll(student: list[Tensor], paths) -> Tensor:
    """KL to each path's own tokens; at the first position, which is one row, to their weighted mean."""
    total = torch.zeros((), dtype=torch.float64)
    for (weight, _, path), logits in zip(paths, student, strict=True):
        total = total - weight * F.log_softmax(logits, -1)[range(len(path)), path].sum()
    for (a, _, first), (b, _, second) in zip(paths[::2], paths[1::2], strict=True):
        share = torch.zeros(student[0].shape[-1], dtype=torch.float64)
        share[first[0]] += a / (a + b)
        share[second[0]] += b / (a + b)
        total = total + (a + b) * torch.xlogy(share, share).sum()
    return total


def loss_of(model: Llama, objective: str, soft: Tensor | None, golden: dict, old: list[Tensor] | None = None):
    """The batch's loss, and log q of each path's tokens; `old` is PPO's, by default `drawn`."""
    batch = golden["examples"]
    prompts = [b["prompt"] for b in batch for _ in range(2)]
    clipped = [min(1 - EPSILON, max(EPSILON, b["s"])) for b in batch]
    paths = [(weight, s, path) for b, s in zip(batch, clipped, strict=True)
             for weight, path in ((s, b["sampled"]), (1 - s, b["refusal"]))]
    tokens = [path for _, _, path in paths]
    student = run(model, prompts, tokens, soft)
    log_q = [F.log_softmax(z, -1)[range(len(path)), path] for z, path in zip(student, tokens, strict=True)]
    if objective == "nll":
        total = nll(student, paths)
    elif objective in DIVERGENCES:
        with torch.no_grad():
            base = [F.log_softmax(z, -1) for z in run(model, prompts, tokens)]
        total = mixture_loss(objective, base, student, paths, golden)
    else:
        old = old or drawn(log_q)
        total = torch.zeros((), dtype=torch.float64)
        for i, (weight, _, path) in enumerate(paths):
            a = torch.tensor([advantage(i, t) for t in range(len(path))], dtype=torch.float64)
            total = total + weight * token_loss(objective, log_q[i], a, old[i]).sum()
    return total / (T_MAX * len(batch)), log_q


def drawn(log_q: list[Tensor]) -> list[Tensor]:
    """log q when the tokens were drawn, as far from now as DRIFT says."""
    return [float32(row.detach() - torch.tensor([DRIFT[t % len(DRIFT)] for t in range(len(row))]))
            for row in log_q]


class Trained:
    """A soft prompt or an adapter in the model, with its gradient."""

    def __init__(self, model: Llama, name: str, folder: Path):
        self.adapter, self.soft = None, None
        if name == "soft":
            values = np.fromfile(folder / "soft.f32", dtype="<f4").reshape(-1, model.c.hidden_size)
            self.soft = torch.tensor(values, dtype=torch.float64, requires_grad=True)
        else:
            self.adapter = Adapter(model, CASES[name], list(CASES).index(name))

    def gradient(self) -> Tensor:
        return self.adapter.gradient() if self.adapter else self.soft.grad.reshape(-1)

    def remove(self) -> None:
        if self.adapter:
            self.adapter.remove()


def loss_and_gradient(model: Llama, name: str, objective: str, golden: dict, folder: Path):
    """Loss, gradient and log q of the paths' tokens."""
    trained = Trained(model, name, folder)
    try:
        loss, log_q = loss_of(model, objective, trained.soft, golden)
        loss.backward()
    finally:
        trained.remove()
    return loss.item(), trained.gradient(), log_q


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--student", type=Path, required=True)
    ap.add_argument("--out", type=Path, required=True)
    args = ap.parse_args()
    torch.set_num_threads(1)
    model = load_dequantised(args.student)
    golden = json.loads((args.out / "golden.json").read_text())
    paths = [path for b in golden["examples"] for path in (b["sampled"], b["refusal"])]
    cases = {}
    for name in TRAINED:
        case: dict = {"losses": {}, "arrays": {}}
        for objective in OBJECTIVES:
            case["losses"][objective], gradient, log_q = loss_and_gradient(model, name, objective, golden, args.out)
            file = f"{name}_{objective}_gradient.f32"
            case["arrays"][objective] = save(args.out, file, gradient)
        case["logProbs"] = [row.tolist() for row in log_q]
        case["oldLogProbs"] = [row.tolist() for row in drawn(log_q)]
        cases[name] = case
    settings = {"gamma": GAMMA, "minWeight": LEAST, "clip": CLIP}
    advantages = [[advantage(i, t) for t in range(len(path))] for i, path in enumerate(paths)]
    out = {"settings": settings, "advantages": advantages, "cases": cases}
    (args.out / "objectives.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    main()
