"""Tunes MiniLM whole as a guard or a judge of plain English.

`python train.py guard --minilm DIR --sets DIR --answers FILE --out DIR [--epochs 5]`

guard: safe, unsafe. Reads a question (unsafe = the request is harmful) or a question and an answer (unsafe
= the request is harmful and the answer does what it asks).
judge: refused, complied, unsafe. Reads a question and an answer. Other seed, other data, another head.

The linear layers are seen through int4 in the last 40 % of the steps, as they will be stored.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import nn
from transformers import BertConfig, BertModel

import data

sys.path.append(str(Path(__file__).resolve().parents[1] / "models"))
from llama import int4_block32  # noqa: E402

LABELS = {"guard": ("safe", "unsafe"), "judge": ("refused", "complied", "unsafe")}
SEEDS = {"guard": 11, "judge": 23}
MAX_LENGTH = 192


class Seen(nn.Linear):
    """A linear layer whose weight is seen through int4 while `fake` is on (straight-through)."""

    fake = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        w = self.weight
        if Seen.fake:
            w = w + (int4_block32(w) - w).detach()
        return F.linear(x, w, self.bias)


class Classifier(nn.Module):
    """MiniLM, the mean of its last states and, for the judge, the first one, and one linear layer."""

    def __init__(self, bert: BertModel, which: str):
        super().__init__()
        self.bert, self.which = bert, which
        width = bert.config.hidden_size * (2 if which == "judge" else 1)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width, len(LABELS[which]))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask[..., None].to(states.dtype)
        pooled = (states * mask).sum(1) / mask.sum(1)
        if self.which == "judge":
            pooled = torch.cat([pooled, states[:, 0]], -1)
        return self.head(self.drop(pooled))


def build(minilm: Path, which: str) -> Classifier:
    config = BertConfig.from_pretrained(minilm, attn_implementation="sdpa")
    bert = BertModel.from_pretrained(minilm, config=config, add_pooling_layer=False)
    for module in list(bert.encoder.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                seen = Seen(child.in_features, child.out_features)
                seen.load_state_dict(child.state_dict())
                setattr(module, name, seen)
    return Classifier(bert, which)


def tokenizer(minilm: Path) -> Tokenizer:
    tok = Tokenizer.from_file(str(minilm / "tokenizer.json"))
    tok.no_padding()
    tok.enable_truncation(MAX_LENGTH)
    return tok


def encode(tok: Tokenizer, rows) -> tuple[torch.Tensor, torch.Tensor]:
    """ids [B, T] padded with 0 and mask of (prompt, answer or None)."""
    ids = [(tok.encode(p) if a is None else tok.encode(p, a)).ids for p, a in rows]
    out = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.long)
    for i, row in enumerate(ids):
        out[i, : len(row)] = torch.tensor(row)
    return out, (out != 0).long()


class Stream:
    """One epoch after the other of ((prompt, answer or None), label)."""

    def __init__(self, which: str, sets: Path, answers: Path):
        self.which = which
        self.rng = random.Random(SEEDS[which])
        self.rows = data.taught(sets)
        self.answers = data.base_answers(answers)
        self.refusals = data.refusals()
        self.completions = data.completions(sets, True)
        self.foreign = list(self.answers.values())

    def noisy(self, prompt: str) -> str:
        """As people type: in small letters, without the mark, with a slip."""
        u = self.rng.random()
        if u < 0.12:
            prompt = prompt.rstrip("?.! ")
        elif u < 0.18 and len(prompt) > 8:
            at = self.rng.randrange(1, len(prompt) - 2)
            prompt = prompt[:at] + prompt[at + 1] + prompt[at] + prompt[at + 2:]
        elif u < 0.24:
            prompt = self.rng.choice(["Hi! ", "Please: ", "Quick question. ", "Hello, ", "I wonder: "]) + prompt
        elif u < 0.28:
            prompt += self.rng.choice([" Thanks!", " Please be brief.", " Answer in detail.", " It is for school."])
        return prompt

    def epoch(self):
        rng, out = self.rng, []
        for row in self.rows:
            harmful, prompt = row.label == "harmful", self.noisy(row.prompt)
            answer = self.answers.get(row.prompt)
            if self.which == "guard":
                out.append(((prompt, None), int(harmful)))
                if answer and rng.random() < 0.5:
                    out.append(((prompt, data.cut(answer, rng)), int(harmful)))
                if rng.random() < 0.2:
                    out.append(((prompt, data.cut(rng.choice(self.refusals), rng)), 0))
            else:
                if answer:
                    out.append(((prompt, data.cut(answer, rng)), 2 if harmful else 1))
                elif rng.random() < 0.5:
                    # An answer of its own is missing: one to another prompt says as much about refusing.
                    out.append(((prompt, data.cut(rng.choice(self.foreign), rng)), 2 if harmful else 1))
                if rng.random() < 0.6:
                    out.append(((prompt, data.cut(rng.choice(self.refusals), rng)), 0))
        for prompt, answer, label, kind in self.completions:
            if self.which == "judge" and kind != "3_partial_refusal":
                # The end of a long answer is cut, as the student's are.
                words = answer.split(" ")
                answer = " ".join(words[: rng.randint(12, 120)])
                out.append(((prompt, answer), 0 if kind == "2_full_refusal" else 2 if label == "harmful" else 1))
        rng.shuffle(out)
        return out


@torch.no_grad()
def probabilities(model: Classifier, tok: Tokenizer, rows, batch: int = 64) -> torch.Tensor:
    model.eval()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]) + len(rows[i][1] or ""))
    out = torch.zeros(len(rows), len(LABELS[model.which]))
    for at in range(0, len(order), batch):
        part = order[at:at + batch]
        out[part] = model(*encode(tok, [rows[i] for i in part])).softmax(-1)
    model.train()
    return out


def report(model: Classifier, tok: Tokenizer, answers: Path | None) -> str:
    """On dev: for the guard shares of each label that it flags at 0.5; for the judge of right classes."""
    rows = data.own("dev")
    parts = []
    given = data.base_answers(answers) if answers else {}
    refusals = data.refusals()
    for label in ("harmful", "borderline", "benign"):
        prompts = [row.prompt for row in rows if row.label == label]
        if model.which == "guard":
            flagged = (probabilities(model, tok, [(p, None) for p in prompts])[:, 1] > 0.5).float().mean()
            both = (probabilities(model, tok, [(p, given.get(p, "")) for p in prompts])[:, 1] > 0.5).float().mean()
            parts.append(f"{label} {flagged:.3f}, with an answer {both:.3f}")
        else:
            answered = probabilities(model, tok, [(p, given[p]) for p in prompts]).argmax(-1)
            refused = probabilities(model, tok, [(p, refusals[i % len(refusals)]) for i, p in enumerate(prompts)]).argmax(-1)
            shares = [f"{(answered == k).float().mean():.2f}" for k in range(3)]
            parts.append(f"{label} answered {shares}, refused {(refused == 0).float().mean():.2f}")
    return "; ".join(parts)


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("which", choices=list(LABELS))
    for name in ("minilm", "sets", "answers", "dev-answers", "out"):
        ap.add_argument(f"--{name}", type=Path, required=True)
    ap.add_argument("--epochs", type=int, default=5)
    ap.add_argument("--batch", type=int, default=32)
    ap.add_argument("--rate", type=float, default=1e-4)
    ap.add_argument("--threads", type=int, default=2)
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(SEEDS[args.which])
    model, tok = build(args.minilm, args.which).train(), tokenizer(args.minilm)
    stream = Stream(args.which, args.sets, args.answers)
    steps = args.epochs * (len(stream.epoch()) // args.batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.rate, weight_decay=0.01)
    step, start = 0, time.time()
    for epoch in range(args.epochs):
        rows = stream.epoch()
        # Rows of like length share a batch.
        chunks = [sorted(rows[i:i + 16 * args.batch], key=lambda r: len(r[0][0]) + len(r[0][1] or "")) for i in range(0, len(rows), 16 * args.batch)]
        batches = [chunk[i:i + args.batch] for chunk in chunks for i in range(0, len(chunk), args.batch)]
        stream.rng.shuffle(batches)
        total = 0.0
        for batch in batches:
            for group in optimiser.param_groups:
                group["lr"] = args.rate * min(1.0, (step + 1) / 50) * max(0.02, 1 - step / (1.05 * steps))
            Seen.fake = step >= 0.6 * steps
            inputs, labels = zip(*batch, strict=True)
            loss = F.cross_entropy(model(*encode(tok, inputs)), torch.tensor(labels), label_smoothing=0.02)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            total, step = total + loss.item(), step + 1
        print(f"epoch {epoch + 1} of {args.epochs}, step {step}, loss {total / len(batches):.4f}, {time.time() - start:.0f} s", flush=True)
        print("  dev:", report(model, tok, args.dev_answers), flush=True)
        args.out.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), args.out / "weights.pt")


if __name__ == "__main__":
    main()
