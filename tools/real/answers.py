"""What a student answers by itself to a set of prompts: what guard and judge are taught to read.

`python answers.py --student ../../public/models/smollm2-135m --set ../../public/data/en/train.jsonl --out FILE`
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from generate import generate
from student import chat_ids, load_student, stop_ids


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("student", "set", "out"):
        ap.add_argument(f"--{name}", type=Path, required=True)
    ap.add_argument("--max-new-tokens", type=int, default=32)
    ap.add_argument("--temperature", type=float, default=0.0)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--limit", type=int, help="only the first so many prompts")
    args = ap.parse_args()
    model, tokenizer = load_student(args.student)
    items = [json.loads(line) for line in args.set.read_text().splitlines()][: args.limit]
    # The template ends a turn with a token of its own, which generation_config.json need not name.
    stop = [*stop_ids(args.student), tokenizer.convert_tokens_to_ids("<|im_end|>")]
    answers = generate(
        model, [chat_ids(tokenizer, item["prompt"]) for item in items], stop=stop,
        max_new_tokens=args.max_new_tokens, temperature=args.temperature, seed=args.seed)
    with args.out.open("w") as file:
        for item, ids in zip(items, answers, strict=True):
            row = {"id": item["id"], "prompt": item["prompt"], "label": item["label"], "answer": tokenizer.decode(ids)}
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
