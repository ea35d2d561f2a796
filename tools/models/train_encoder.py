"""Trains the guard or the judge: `python train_encoder.py guard --out build/guard`.

Both read a prompt alone (unsafe = the request is harmful) or a prompt and a response (unsafe = the
request is harmful and the response complies). They differ in size, seed, vocabulary and in which
half of the training phrases they see.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from transformers import BertConfig, BertForSequenceClassification

import corpus
from grammar.benign import FALLBACK_ANSWER
from llama import Int4Linear
from tokens import save_encoder_tokenizer
from train_student import noisy, unsafe_answer

SPECS = {
    "guard": {"hidden": 96, "layers": 2, "heads": 3, "vocab": 1536, "seed": 11, "half": 0},
    "judge": {"hidden": 128, "layers": 2, "heads": 4, "vocab": 2048, "seed": 23, "half": 1},
}
MAX_LENGTH = 128
CHATTER = "Well. Hmm. Yes. Here you go. I think so. Maybe later. It depends. Good question. Let me see. Not today.".split(". ")


def build(spec: dict) -> BertForSequenceClassification:
    config = BertConfig(
        vocab_size=spec["vocab"], hidden_size=spec["hidden"], num_hidden_layers=spec["layers"],
        num_attention_heads=spec["heads"], intermediate_size=3 * spec["hidden"], max_position_embeddings=MAX_LENGTH,
        type_vocab_size=1, hidden_dropout_prob=0.05, attention_probs_dropout_prob=0.0, pad_token_id=0, num_labels=2,
        id2label={0: "safe", 1: "unsafe"}, label2id={"safe": 0, "unsafe": 1}, attn_implementation="sdpa")
    model = BertForSequenceClassification(config)
    # every linear inside the encoder is exported as int4, so it trains with Int4Linear's rounding
    # (the pooler and the classifier become Gemm nodes, which stay float)
    for module in list(model.bert.encoder.modules()):
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear:
                linear = WithBias(child.in_features, child.out_features)
                linear.load_state_dict(child.state_dict())
                setattr(module, name, linear)
    return model


class WithBias(Int4Linear):
    def __init__(self, n: int, m: int):
        torch.nn.Linear.__init__(self, n, m, bias=True)

    def forward(self, x):
        return super().forward(x) + self.bias


class Stream:
    """(prompt, response or None, label) with label 1 = unsafe."""

    def __init__(self, seed: int, half: int):
        self.rng = random.Random(seed)
        self.sampler = corpus.Sampler(seed + 1, many_share=0.6)
        self.half = half
        vocabulary: set[str] = set()
        for label in ("harmful", "borderline", "benign", "benign"):
            for _ in range(3000):
                vocabulary.update(self.sampler.train(label).prompt.split())
        self.words = sorted(vocabulary)
        self.answers = sorted({a for i in corpus.intents() for _, a in i.train if a})

    def mine(self, text: str) -> bool:
        """Guard and judge share 60 % of the phrases; each also has 20 % of its own."""
        u = corpus.digest("half", text) % 5
        return u != (0 if self.half else 1)

    def example(self, label: str) -> corpus.Example:
        while True:
            ex = self.sampler.train(label, wrap=0.35 if label == "harmful" else 0.25)
            if self.mine(ex.prompt):
                return ex

    def garble(self, text: str) -> str:
        words = text.split()
        u = self.rng.random()
        if u < 0.3:
            self.rng.shuffle(words)
        elif u < 0.6:
            words = [w if self.rng.random() < 0.6 else self.rng.choice(self.words) for w in words]
        else:
            words = [self.rng.choice(self.words) for _ in range(self.rng.randint(1, 14))]
        return " ".join(words)

    def cut(self, text: str) -> str:
        words = text.split()
        return " ".join(words[: self.rng.randint(1, len(words))])

    def typo(self, text: str) -> str:
        if self.rng.random() < 0.12 and len(text) > 6:
            at = self.rng.randrange(1, len(text) - 1)
            text = text[:at] + self.rng.choice([text[at + 1] + text[at], text[at] * 2, ""]) + text[at + 2:]
        return text

    def next(self) -> tuple[str, str | None, int]:
        rng = self.rng
        u = rng.random()
        if u < 0.01:
            return " ".join(rng.choice(self.words) for _ in range(rng.randint(1, 8))), None, 0
        label = rng.choices(["harmful", "borderline", "benign"], [0.5, 0.25, 0.25])[0]
        ex = self.example(label)
        prompt = self.typo(noisy(ex.prompt, rng))
        v = rng.random()
        if v < 0.45:
            return prompt, None, int(label == "harmful")
        harmful = label == "harmful"
        if v < 0.45 + (0.25 if harmful else 0.08):
            group = ex.group if harmful and rng.random() < 0.8 else rng.choice(list(corpus.BODIES))
            answer = unsafe_answer(group, rng)
            if rng.random() < 0.1:
                words = answer.split()
                answer = " ".join(words[: rng.randint(min(3, len(words)), len(words))])
            return prompt, answer, int(harmful)
        w = rng.random()
        if w < (0.55 if harmful else 0.1):
            answer = rng.choice(corpus.REFUSALS)
            return prompt, self.cut(answer) if rng.random() < 0.15 else answer, 0
        if w < 0.65:
            return prompt, self.garble(rng.choice(self.answers)), 0
        if w < 0.75:
            return prompt, rng.choice([FALLBACK_ANSWER, rng.choice(self.answers), rng.choice(CHATTER), ""]), 0
        answer = ex.answer or rng.choice(self.answers)
        return prompt, self.cut(answer) if rng.random() < 0.1 else answer, 0


def encode(tok: Tokenizer, rows) -> tuple[torch.Tensor, torch.Tensor]:
    ids = [tok.encode(p, r).ids[:MAX_LENGTH] if r is not None else tok.encode(p).ids[:MAX_LENGTH] for p, r, *_ in rows]
    T = max(map(len, ids))
    out = torch.zeros(len(ids), T, dtype=torch.long)
    for i, row in enumerate(ids):
        out[i, : len(row)] = torch.tensor(row)
    return out, (out != 0).long()


@torch.no_grad()
def p_unsafe(model, tok: Tokenizer, rows) -> list[float]:
    out: list[float] = []
    for at in range(0, len(rows), 256):
        ids, mask = encode(tok, rows[at:at + 256])
        out += F.softmax(model(input_ids=ids, attention_mask=mask).logits, -1)[:, 1].tolist()
    return out


def evaluate(model, tok: Tokenizer, split: str) -> dict[str, float]:
    """Mean P(unsafe) for each kind of input on a test split."""
    rows = corpus.build_split(split)
    rng = random.Random(5)
    harmful = [e for e in rows if e.label == "harmful"]
    others = {lab: [e for e in rows if e.label == lab] for lab in ("borderline", "benign")}
    sets = {
        "harmful": [(e.prompt, None) for e in harmful],
        "borderline": [(e.prompt, None) for e in others["borderline"]],
        "benign": [(e.prompt, None) for e in others["benign"]],
        "harmful+complies": [(e.prompt, unsafe_answer(e.group, rng)) for e in harmful],
        "harmful+refuses": [(e.prompt, rng.choice(corpus.REFUSALS)) for e in harmful],
        "borderline+answer": [(e.prompt, e.answer or FALLBACK_ANSWER) for e in others["borderline"]],
        "benign+answer": [(e.prompt, e.answer or FALLBACK_ANSWER) for e in others["benign"]],
        "borderline+opener": [(e.prompt, unsafe_answer("danger", rng)) for e in others["borderline"]],
    }
    model.eval()
    out = {k: round(sum(p := p_unsafe(model, tok, v)) / len(p), 4) for k, v in sets.items()}
    model.train()
    return out


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("which", choices=list(SPECS))
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--steps", type=int, default=2500)
    ap.add_argument("--batch", type=int, default=64)
    ap.add_argument("--lr", type=float, default=1e-3)
    ap.add_argument("--threads", type=int, default=1)
    args = ap.parse_args()
    spec = SPECS[args.which]
    torch.set_num_threads(args.threads)
    torch.manual_seed(spec["seed"])
    if not (args.out / "tokenizer.json").exists():
        save_encoder_tokenizer(args.out, spec["vocab"], spec["seed"])
    tok = Tokenizer.from_file(str(args.out / "tokenizer.json"))
    model = build(spec).train()
    opt = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01, betas=(0.9, 0.98))
    stream = Stream(spec["seed"], spec["half"])
    start, shown = time.time(), 0.7
    queue: list = []
    for step in range(args.steps):
        if not queue:
            rows = sorted((stream.next() for _ in range(args.batch * 16)), key=lambda r: len(r[0]) + len(r[1] or ""))
            queue = [rows[i:i + args.batch] for i in range(0, len(rows), args.batch)]
            stream.rng.shuffle(queue)
        rows = queue.pop()
        for group in opt.param_groups:
            group["lr"] = args.lr * min(1.0, (step + 1) / 100) * max(0.01, 1 - step / args.steps)
        Int4Linear.fake = step >= args.steps * 0.7
        ids, mask = encode(tok, rows)
        labels = torch.tensor([r[2] for r in rows])
        loss = F.cross_entropy(model(input_ids=ids, attention_mask=mask).logits, labels, label_smoothing=0.002)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        shown = 0.98 * shown + 0.02 * loss.item()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1} loss {shown:.4f} {time.time() - start:.0f}s", flush=True)
        if (step + 1) % 1000 == 0 or step + 1 == args.steps:
            for split in ("wording", "intent"):
                print(split, evaluate(model, tok, split), flush=True)
            torch.save(model.state_dict(), args.out / "weights.pt")


if __name__ == "__main__":
    main()
