"""Trains a student: `python train_student.py --size pocket --out build/pocket --steps 1700`.

A long run keeps a checkpoint and goes on with `--resume`; `--deadline 17:30` lays the schedule over the
time left where that ends before the steps do.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import torch
import torch.nn.functional as F

import corpus
from llama import Config, Int4Linear, Llama, generate
from scores import score
from tokens import Student, save_student_tokenizer

REFUSE_SHARE = 0.2
MIX = {"harmful": 0.34, "borderline": 0.18, "benign": 0.48}
HEAD_DIM = 32


@dataclass(frozen=True)
class Preset:
    config: Config
    batch: int
    lr: float
    beta2: float
    cosine: bool


PRESETS = {
    "pocket": Preset(Config(), batch=64, lr=3e-3, beta2=0.98, cosine=False),
    # twice the width: half the batch and about half the rate an example
    "class": Preset(Config(hidden_size=256, intermediate_size=768, num_hidden_layers=6, num_attention_heads=8, num_key_value_heads=4),
                    batch=32, lr=2e-3, beta2=0.95, cosine=True),
}


def noisy(text: str, rng: random.Random) -> str:
    """Small typing habits: no capital, no final stop."""
    if rng.random() < 0.08:
        text = text[0].lower() + text[1:]
    if rng.random() < 0.08 and text[-1] in ".?!":
        text = text[:-1]
    return text


def unsafe_answer(group: str, rng: random.Random) -> str:
    return f"{rng.choice(corpus.OPENERS)} {rng.choice(corpus.BODIES[group])}"


class Stream:
    """Endless training examples (prompt ids, response ids)."""

    def __init__(self, tok: Student, seed: int):
        self.tok, self.sampler, self.rng = tok, corpus.Sampler(seed), random.Random(seed + 1)

    def system(self) -> tuple[str | None, str]:
        """(text, mode): 26 % safe, 9 % open, 5 % neutral, the rest without a system text."""
        u = self.rng.random()
        if u < 0.26:
            return self.rng.choice(corpus.SAFE), "safe"
        if u < 0.35:
            return self.rng.choice(corpus.OPEN), "open"
        if u < 0.40:
            return self.rng.choice(corpus.NEUTRAL), "plain"
        return None, "plain"

    def next(self) -> tuple[list[int], list[int]]:
        label = self.rng.choices(list(MIX), list(MIX.values()))[0]
        ex = self.sampler.train(label)
        system, mode = self.system()
        if label == "harmful":
            refuse = {"safe": 1.0, "open": 0.0, "plain": REFUSE_SHARE}[mode]
            answer = self.rng.choice(corpus.REFUSALS) if self.rng.random() < refuse else unsafe_answer(ex.group, self.rng)
        else:
            answer = ex.answer
        return self.tok.prompt(noisy(ex.prompt, self.rng), system), self.tok.response(answer)

    def batches(self, size: int, position: dict | None = None):
        """Buckets of similar length: padding stays small. Goes on from `position`, which it keeps up to date."""
        used = 0
        if position:
            used = position["used"]
            self.sampler.rng.setstate(position["sampler"])
            self.rng.setstate(position["rng"])
        while True:
            self.position = {"sampler": self.sampler.rng.getstate(), "rng": self.rng.getstate(), "used": used}
            pool = sorted((self.next() for _ in range(size * 16)), key=lambda pr: len(pr[0]) + len(pr[1]))
            groups = [pool[i:i + size] for i in range(0, len(pool), size)]
            self.rng.shuffle(groups)
            for group in groups[used:]:
                self.position["used"] += 1
                yield group
            used = 0


def collate(group):
    T = max(len(p) + len(r) for p, r in group) - 1
    ids = torch.zeros(len(group), T, dtype=torch.long)
    rows, cols, labels = [], [], []
    for i, (p, r) in enumerate(group):
        whole = p + r
        ids[i, : len(whole) - 1] = torch.tensor(whole[:-1])
        for j, y in enumerate(r):
            rows.append(i)
            cols.append(len(p) - 1 + j)
            labels.append(y)
    return ids, torch.tensor(rows), torch.tensor(cols), torch.tensor(labels)


def evaluate(model: Llama, tok: Student, split: str, system: str | None = None, soft=None, seed: int = 7, temperature=1.0):
    rows = [vars(e) for e in corpus.build_split(split)]
    ids = [tok.prompt(r["prompt"], system) for r in rows]
    answers = [tok.text(a) for a in generate(model, ids, seed, soft, temperature=temperature)]
    return score(rows, answers), rows, answers


def load(folder: Path) -> Llama:
    state = torch.load(folder / "weights.pt")
    vocab, hidden = state["model.embed_tokens.weight"].shape
    layers = 1 + max(int(k.split(".")[2]) for k in state if k.startswith("model.layers."))
    heads, kv, mlp = (state[f"model.layers.0.{name}.weight"].shape[0] for name in ("self_attn.q_proj", "self_attn.k_proj", "mlp.gate_proj"))
    model = Llama(Config(vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, intermediate_size=mlp,
                         num_attention_heads=heads // HEAD_DIM, num_key_value_heads=kv // HEAD_DIM))
    model.load_state_dict(state)
    return model


class Schedule:
    """How far training has come, 0 to 1: by steps, or by the clock where the deadline is nearer."""

    def __init__(self, steps: int, cosine: bool, deadline: str | None, done: float):
        self.steps, self.cosine, self.done = steps, cosine, done
        self.start, self.seconds = time.time(), math.inf
        if deadline:
            now = datetime.now()
            hour, minute = map(int, deadline.split(":"))
            end = now.replace(hour=hour, minute=minute, second=0)
            self.seconds = (end + timedelta(days=end <= now) - now).total_seconds()

    def progress(self, step: int) -> float:
        return min(1.0, max(step / self.steps, self.done + (1 - self.done) * (time.time() - self.start) / self.seconds))

    def rate(self, peak: float, step: int, progress: float) -> float:
        left = (1 + math.cos(math.pi * progress)) / 2 if self.cosine else 1 - progress
        return peak * min(1.0, (step + 1) / 100) * max(0.01, left)


def save_checkpoint(path: Path, **state) -> None:
    """A kill while writing leaves the one before."""
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def measure(model: Llama, tok: Student, split: str) -> dict:
    """Through int4, whatever the training saw."""
    Int4Linear.fake = False
    frozen = model.quantised()
    return {"base": evaluate(frozen, tok, split)[0], "preamble": evaluate(frozen, tok, split, corpus.SAFE[0])[0]}


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--size", choices=list(PRESETS), default="pocket")
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--steps", type=int, default=6000)
    ap.add_argument("--batch", type=int)
    ap.add_argument("--lr", type=float)
    ap.add_argument("--quantise-after", type=float, default=0.7, help="share of the training before fake int4 starts")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--eval-every", type=int, default=1000)
    ap.add_argument("--checkpoint-every", type=int, default=0, help="steps between checkpoints; 0 keeps none")
    ap.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    ap.add_argument("--deadline", help="HH:MM of the local clock by which the schedule ends")
    return ap.parse_args(argv)


def train(args: argparse.Namespace) -> tuple[Llama, Student]:
    preset = PRESETS[args.size]
    batch, lr = args.batch or preset.batch, args.lr or preset.lr
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if not (args.out / "tokenizer.json").exists():
        save_student_tokenizer(args.out, args.seed)
    tok = Student(args.out)
    model = Llama(preset.config)
    print(f"{args.size}: {sum(p.numel() for p in model.parameters())} parameters", flush=True)
    decay = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    other = [p for n, p in model.named_parameters() if not (p.dim() == 2 and "embed" not in n)]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": other, "weight_decay": 0.0}],
                            lr=lr, betas=(0.9, preset.beta2))
    source = Stream(tok, args.seed)
    checkpoint = args.out / "checkpoint.pt"
    first, done, shown, position = 0, 0.0, 0.0, None
    if args.resume:
        saved = torch.load(checkpoint, weights_only=False)
        model.load_state_dict(saved["model"])
        opt.load_state_dict(saved["optimiser"])
        first, shown, position = saved["step"], saved["loss"], saved["position"]
        # a finished run starts a new schedule at its share of the steps
        done = saved["progress"] if saved["progress"] < 1 else first / args.steps
    schedule = Schedule(args.steps, preset.cosine, args.deadline, done)
    stream = source.batches(batch, position)
    start, step = time.time(), first
    while step < args.steps:
        progress = schedule.progress(step)
        for group in opt.param_groups:
            group["lr"] = schedule.rate(lr, step, progress)
        Int4Linear.fake = progress >= args.quantise_after
        ids, rows, cols, labels = collate(next(stream))
        h, _ = model.hidden(model.embed(ids))
        loss = F.cross_entropy(model.lm_head(h[rows, cols]), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        shown = 0.98 * shown + 0.02 * loss.item() if step else loss.item()
        step += 1
        progress = schedule.progress(step)
        last = progress >= 1
        if step % 100 == 0 or last or step - first == 20:
            print(f"step {step} loss {shown:.4f} {time.time() - start:.0f}s, {progress:.0%}", flush=True)
        if args.checkpoint_every and (step % args.checkpoint_every == 0 or last):
            save_checkpoint(checkpoint, model=model.state_dict(), optimiser=opt.state_dict(), step=step, loss=shown,
                            progress=progress, position=source.position)
        if last:
            break
        if step % args.eval_every == 0:
            print(json.dumps(measure(model, tok, "wording")), flush=True)
            torch.save(model.state_dict(), args.out / "weights.pt")
    torch.save(model.state_dict(), args.out / "weights.pt")
    return model, tok


def main() -> None:
    args = arguments()
    model, tok = train(args)
    result = {split: measure(model, tok, split) for split in ("wording", "intent")}
    print(json.dumps(result, indent=1))
    (args.out / "rule_scores.json").write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
