"""Trains a student: `python train_student.py --out build/pocket --steps 5000`."""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F

import corpus
from llama import Config, Int4Linear, Llama, generate
from scores import score
from tokens import Student, save_student_tokenizer

REFUSE_SHARE = 0.2
MIX = {"harmful": 0.34, "borderline": 0.18, "benign": 0.48}


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

    def batches(self, size: int):
        """Buckets of similar length: padding stays small."""
        while True:
            pool = sorted((self.next() for _ in range(size * 16)), key=lambda pr: len(pr[0]) + len(pr[1]))
            groups = [pool[i:i + size] for i in range(0, len(pool), size)]
            self.rng.shuffle(groups)
            yield from groups


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
    model = Llama(Config(vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, intermediate_size=3 * hidden))
    model.load_state_dict(state)
    return model


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--steps", type=int, default=6000)
    ap.add_argument("--batch", type=int, default=64)
    ap.add_argument("--lr", type=float, default=3e-3)
    ap.add_argument("--quantise-after", type=float, default=0.7, help="share of the steps before fake int4 starts")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--eval-every", type=int, default=1000)
    ap.add_argument("--hidden", type=int, default=128)
    ap.add_argument("--layers", type=int, default=4)
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if not (args.out / "tokenizer.json").exists():
        save_student_tokenizer(args.out, args.seed)
    tok = Student(args.out)
    model = Llama(Config(hidden_size=args.hidden, num_hidden_layers=args.layers, intermediate_size=3 * args.hidden))
    decay = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    other = [p for n, p in model.named_parameters() if not (p.dim() == 2 and "embed" not in n)]
    opt = torch.optim.AdamW([{"params": decay, "weight_decay": 0.05}, {"params": other, "weight_decay": 0.0}],
                            lr=args.lr, betas=(0.9, 0.98))
    stream = Stream(tok, args.seed).batches(args.batch)
    start, shown = time.time(), 0.0
    for step in range(args.steps):
        warm = min(1.0, (step + 1) / 100)
        left = 1 - step / args.steps
        for group in opt.param_groups:
            group["lr"] = args.lr * warm * max(0.01, left)
        Int4Linear.fake = step >= args.steps * args.quantise_after
        ids, rows, cols, labels = collate(next(stream))
        h, _ = model.hidden(model.embed(ids))
        loss = F.cross_entropy(model.lm_head(h[rows, cols]), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        shown = 0.98 * shown + 0.02 * loss.item() if step else loss.item()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} loss {shown:.4f} {time.time() - start:.0f}s", flush=True)
        if (step + 1) % args.eval_every == 0 or step + 1 == args.steps:
            Int4Linear.fake = False
            frozen = model.quantised()
            print("base", evaluate(frozen, tok, "wording")[0], flush=True)
            print("safe", evaluate(frozen, tok, "wording", corpus.SAFE[0])[0], flush=True)
            torch.save(model.state_dict(), args.out / "weights.pt")
    Int4Linear.fake = False
    frozen = model.quantised()
    result = {s: {"base": evaluate(frozen, tok, s)[0], "preamble": evaluate(frozen, tok, s, corpus.SAFE[0])[0]}
              for s in ("wording", "intent")}
    print(json.dumps(result, indent=1))
    (args.out / "rule_scores.json").write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
