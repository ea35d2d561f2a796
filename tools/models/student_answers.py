"""Student answers to training prompts, good and garbled, for training the guard and the judge.

`python student_answers.py --student build/pocket --out build/answers.jsonl`
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

import corpus
from llama import generate
from scores import complies
from tokens import Student
from train_student import load


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--student", type=Path, required=True)
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--each", type=int, default=700)
    args = ap.parse_args()
    torch.set_num_threads(1)
    model, tok = load(args.student).quantised(), Student(args.student)
    sampler = corpus.Sampler(404)
    g = torch.Generator().manual_seed(404)
    lines = []
    # (system text, temperature, share of noise vectors before BOS)
    for system, temperature, soft in ((None, 1.0, False), (corpus.SAFE[0], 1.0, False), (corpus.OPEN[0], 1.0, False),
                                      (None, 1.5, False), (None, 1.0, True)):
        rows = [sampler.train(label) for label in ("harmful", "harmful", "borderline", "benign") for _ in range(args.each // 4)]
        prefix = model.model.embed_tokens.weight[torch.randint(6, 2048, (16,), generator=g)] * 1.5 if soft else None
        answers = generate(model, [tok.prompt(r.prompt, system) for r in rows], 404, prefix, temperature=temperature)
        for r, a in zip(rows, answers, strict=True):
            text = tok.text(a)
            lines.append(json.dumps({"prompt": r.prompt, "response": text, "label": r.label, "complies": complies(text)}))
    args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
