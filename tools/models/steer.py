"""Reference distillation in PyTorch: a soft prompt learns the guarded system (METHOD.md 3.1, 4).

`python steer.py --student build/pocket --objective tv` prints the scores of the trained prompt. The
in-tab engine follows the same recipe; `losses` below is also what the goldens are computed with.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

import corpus
from llama import Llama, generate
from tokens import Student

T_MAX = 48
EPSILON = 1e-3


def refusal_target(path: list[int], refusals: list[list[int]]) -> list[dict[int, float]]:
    """rho_t along `path`: share of the still-matching refusals per next token; {} once none matches."""
    out = []
    for t in range(len(path)):
        live = [r for r in refusals if r[:t] == path[:t] and len(r) > t]
        out.append({k: sum(r[t] == k for r in live) / len(live) for k in {r[t] for r in live}})
    return out


def refusal_weight(s: float, path: list[int], log_pi: Tensor, rho: list[dict[int, float]]) -> Tensor:
    """w_t = sigmoid(log((1-s)/s) + sum_{i<t} log rho - log pi), clamped to +-30; 0 off the trie."""
    level = math.log((1 - s) / s)
    out = []
    for t in range(len(path)):
        out.append(1 / (1 + math.exp(-max(-30.0, min(30.0, level)))) if rho[t] else 0.0)
        p = rho[t].get(path[t], 0.0)
        if p == 0.0:
            level = -math.inf
        elif level > -math.inf:
            level += math.log(p) - float(log_pi[t, path[t]])
    return torch.tensor(out, dtype=log_pi.dtype)


def target(s: float, path: list[int], log_pi: Tensor, refusals: list[list[int]]) -> tuple[Tensor, Tensor, list[dict[int, float]]]:
    """p_t [T, V] of the mixture, w_t [T] and rho_t for one path; log_pi [T, V] is the base model's."""
    rho = refusal_target(path, refusals)
    w = refusal_weight(s, path, log_pi, rho)
    p = (1 - w)[:, None] * log_pi.exp()
    for t, row in enumerate(rho):
        for k, share in row.items():
            p[t, k] += w[t] * share
    return p, w, rho


def divergence(objective: str, p: Tensor, logits: Tensor) -> Tensor:
    """D(p_t, softmax(logits_t)) per position."""
    log_q = F.log_softmax(logits, -1)
    if objective == "tv":
        return 0.5 * (p - log_q.exp()).abs().sum(-1)
    return (torch.xlogy(p, p) - p * log_q).sum(-1)


def run(model: Llama, prompts: list[list[int]], paths: list[list[int]], soft: Tensor | None = None) -> list[Tensor]:
    """Logits [T_i, V] at the positions that predict each path's tokens; right-padded batch."""
    n = 0 if soft is None else soft.shape[0]
    whole = [p + r[:-1] for p, r in zip(prompts, paths, strict=True)]
    ids = torch.zeros(len(whole), max(map(len, whole)), dtype=torch.long)
    for i, row in enumerate(whole):
        ids[i, : len(row)] = torch.tensor(row)
    x = model.embed(ids)
    if soft is not None:
        x = torch.cat([soft[None].expand(len(whole), -1, -1), x], 1)
    h, _ = model.hidden(x)
    at = [(i, n + len(p) - 1 + j) for i, (p, r) in enumerate(zip(prompts, paths, strict=True)) for j in range(len(r))]
    rows, cols = torch.tensor(at).T
    return list(model.lm_head(h[rows, cols]).split([len(r) for r in paths]))


def losses(model: Llama, soft: Tensor, batch: list[dict], refusals: list[list[int]], objective: str):
    """batch rows {prompt, s, sampled, refusal}; returns the loss and per-path (weight, target, w, rho, D)."""
    prompts = [b["prompt"] for b in batch for _ in range(2)]
    paths = [path for b in batch for path in (b["sampled"], b["refusal"])]
    clipped = [min(1 - EPSILON, max(EPSILON, b["s"])) for b in batch]
    weights = [x for s in clipped for x in (s, 1 - s)]
    with torch.no_grad():
        base = [F.log_softmax(z, -1) for z in run(model, prompts, paths)]
    student = run(model, prompts, paths, soft)
    parts, total = [], torch.zeros((), dtype=soft.dtype)
    for i, (weight, path) in enumerate(zip(weights, paths, strict=True)):
        p, w, rho = target(clipped[i // 2], path, base[i], refusals)
        d = divergence(objective, p, student[i])
        total = total + weight * d.sum()
        parts.append({"weight": weight, "w": w, "rho": rho, "loss": d.detach()})
    return total / (T_MAX * len(batch)), parts


def int4_rows(soft: Tensor) -> Tensor:
    """The share link's precision: int4 with one float16 scale a row."""
    scale = (soft.abs().amax(1, keepdim=True) / 7).half().float()
    return (torch.clamp(torch.round(soft / scale), -7, 7) * scale)


def prepare(model: Llama, tok: Student, seed: int, guard=None) -> tuple[list[dict], list[list[int]]]:
    """The recipe's prompts with guard scores and one base sample each."""
    rows = corpus.build_split("train")
    prompts = [tok.prompt(e.prompt) for e in rows]
    samples = generate(model, prompts, seed)
    scores = guard([e.prompt for e in rows]) if guard else [0.005 if e.label == "harmful" else 0.995 for e in rows]
    return [{"prompt": p, "s": s, "sampled": r} for p, s, r in zip(prompts, scores, samples, strict=True)], \
        [tok.response(r) for r in corpus.REFUSALS]


def train(model: Llama, data: list[dict], refusals: list[list[int]], *, objective: str, steps: int, batch: int, lr: float,
          n: int, seed: int, warmup: float, log=print, each=None) -> Tensor:
    rng = random.Random(seed)
    rows = rng.sample(range(6, model.c.vocab_size), n)
    soft = model.model.embed_tokens.weight[rows].clone().requires_grad_(True)
    opt = torch.optim.Adam([soft], lr=lr, betas=(0.9, 0.999))
    order: list[int] = []
    start = time.time()
    for step in range(steps):
        if len(order) < batch:
            order = list(range(len(data)))
            rng.shuffle(order)
        picked = [data[order.pop()] for _ in range(batch)]
        rows_ = [{**b, "refusal": rng.choice(refusals)} for b in picked]
        ramp = min(1.0, (step + 1) / max(1, warmup * steps))
        opt.param_groups[0]["lr"] = lr * ramp * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        seen = soft
        if step >= 0.9 * steps:
            seen = soft + (int4_rows(soft.detach()) - soft.detach())
        loss, _ = losses(model, seen, rows_, refusals, objective)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_([soft], 1.0)
        opt.step()
        if (step + 1) % 25 == 0:
            log(f"step {step + 1} loss {loss.item():.4f} |g| {norm.item():.4f} {time.time() - start:.0f}s", flush=True)
        if each and (step + 1) % 100 == 0:
            each(int4_rows(soft.detach()))
    return int4_rows(soft.detach())


def main() -> None:
    from train_student import evaluate

    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--student", type=Path, required=True, help="folder with tokenizer.json and weights.pt")
    ap.add_argument("--objective", choices=["tv", "kl"], default="tv")
    ap.add_argument("--steps", type=int, default=300)
    ap.add_argument("--batch", type=int, default=16)
    ap.add_argument("--lr", type=float, default=0.03)
    ap.add_argument("--n", type=int, default=16)
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--warmup", type=float, default=0.05)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--guard", type=Path, help="exported guard whose scores are s; without it labels stand in")
    ap.add_argument("--out", type=Path)
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    tok = Student(args.student)
    from train_student import load
    model = load(args.student).quantised()
    guard = None
    if args.guard:
        from manifest import Encoder
        encoder = Encoder(args.guard)
        guard = lambda prompts: [1 - p for p in encoder(prompts)]
    data, refusals = prepare(model, tok, args.seed, guard)
    base = evaluate(model, tok, "wording")[0]
    print("base", base, flush=True)
    soft = train(model, data, refusals, objective=args.objective, steps=args.steps, batch=args.batch, lr=args.lr, n=args.n,
                 seed=args.seed, warmup=args.warmup,
                 each=lambda s: print("wording", evaluate(model, tok, "wording", soft=s)[0], flush=True))
    result = {s: evaluate(model, tok, s, soft=soft)[0] for s in ("wording", "intent")}
    print(json.dumps({"settings": {k: str(v) for k, v in vars(args).items()}, "base": base, **result}), flush=True)
    if args.out:
        torch.save(soft, args.out)


if __name__ == "__main__":
    main()
