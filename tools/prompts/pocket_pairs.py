"""Twins for the bundled students: `python tools/prompts/pocket_pairs.py --out public/data/pairs.jsonl`.

A harmful and a harmless phrase of the students' own grammar (tools/models/grammar) in one frame and
one wrapper, alike in length and, where possible, in words. As in *wording* and *intent*, no training
ever saw a prompt: its phrase or its frame was held out (`known` pairs), or its intent (`unseen` pairs).
Same bytes every time; standard library only.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
import corpus  # noqa: E402
from grammar.frames import FRAMES  # noqa: E402

COUNTS = {"known": 120, "unseen": 40}
# How often a harmless phrase may come, in as many frames; there are few of unseen intents.
REPEATS = {"known": 1, "unseen": 4}
WRAPPED = 0.2
# Twins may differ by so many characters, or by so many more for each word that they share.
CLOSE = 3
# The longest phrase of `known` pairs, in characters; the grammar has no longer benign ones.
LONGEST = 34
# A frame says three words or more before the phrase, so that an opening gives nothing away.
OPENING = 3


@dataclass(frozen=True)
class Phrase:
    text: str
    answer: str | None
    intent: corpus.Intent
    held: bool


def phrases(harmful: bool, unseen: bool) -> list[Phrase]:
    """Verb phrases of one side; what the grammar answers with its fallback is left out."""
    out = []
    for it in corpus.intents():
        if it.kind != "vp" or (it.label == "harmful") != harmful or it.group == "fallback":
            continue
        rows = [(it.unseen, True)] if unseen else [(it.train, False), (it.test, True)]
        out += [Phrase(text, answer, it, held) for part, held in rows for text, answer in part if unseen or len(text) <= LONGEST]
    return out


def frames(held: bool) -> list[str]:
    return [f for f in FRAMES["vp"][1 if held else 0] if len(f[: f.index("{}")].split()) >= OPENING]


def form(frame: str) -> str:
    if "tips to" in frame or "tips on" in frame:
        return "list"
    if frame.startswith("I "):
        return "chat"
    return "question" if frame.endswith("?") or frame[0].islower() else "order"


def distance(a: str, b: str) -> float:
    return abs(len(a) - len(b)) - CLOSE * len(set(a.split()) & set(b.split()))


def twins(split: str, rng: random.Random) -> list[tuple[Phrase, Phrase]]:
    """Intents take turns on the harmful side; each gets the closest harmless phrase of the least used intents.

    Borderline and benign twins take turns as far as the grammar goes: its benign phrases are short.
    """
    unseen = split == "unseen"
    harmful, harmless = phrases(True, unseen), phrases(False, unseen)
    rng.shuffle(harmful)
    by_intent: dict[str, list[Phrase]] = {}
    for p in harmful:
        by_intent.setdefault(p.intent.name, []).append(p)
    used: Counter[str] = Counter()
    out: list[tuple[Phrase, Phrase]] = []
    names = list(by_intent)
    turn = 0
    while len(out) < COUNTS[split]:
        if turn > 40 * COUNTS[split]:
            raise RuntimeError(f"{split}: the grammar is too small for {COUNTS[split]} pairs")
        pool = by_intent[names[turn % len(names)]]
        turn += 1
        if not pool:
            continue
        bad = pool.pop()
        near = [p for p in harmless if used[p.text] < REPEATS[split] and p.held == bad.held and abs(len(p.text) - len(bad.text)) <= CLOSE]
        if not near:
            continue
        least = min(used[p.intent.name] for p in near)
        fair = [p for p in near if used[p.intent.name] <= least + 1]
        asked = [p for p in near if p.intent.label == ("benign" if len(out) % 2 else "borderline")]
        if not unseen:
            if not asked:
                continue
            fair = asked
        good = min(fair, key=lambda p: (used[p.text], distance(p.text, bad.text), corpus.digest(p.text)))
        used[good.intent.name] += 1
        used[good.text] += 1
        out.append((bad, good))
    return out


def rows() -> list[dict]:
    out = []
    for split in COUNTS:
        rng = random.Random(corpus.digest(corpus.DATA_SEED, "pairs", split))
        decks: dict[bool, list[str]] = {True: [], False: []}
        for n, (bad, good) in enumerate(twins(split, rng)):
            # A phrase that training knew needs a frame that it did not.
            held = not bad.held or rng.random() < 0.5
            if not decks[held]:
                decks[held] = frames(held)
                rng.shuffle(decks[held])
            frame = decks[held].pop()
            wrapper = rng.choice(list(corpus.WRAPPERS)) if rng.random() < WRAPPED else None
            for p in (bad, good):
                prompt = corpus.put(frame, p.text)
                row = {"prompt": prompt if wrapper is None else corpus.WRAPPERS[wrapper].replace("{p}", prompt),
                       "label": p.intent.label, "intent": p.intent.name}
                row["style" if p.intent.label == "borderline" else "category"] = p.intent.group
                if wrapper:
                    row["wrapper"] = wrapper
                if p.answer:
                    row["answer"] = p.answer
                out.append(row | {"form": form(frame), "pair": f"{split}-{n}"})
    # pairs stay together: a prefix of the file is a fair sample of whole pairs
    blocks = [out[i:i + 2] for i in range(0, len(out), 2)]
    random.Random(corpus.digest("order", "pairs")).shuffle(blocks)
    return [{"id": f"p{i:04d}"} | row for i, row in enumerate(row for block in blocks for row in block)]


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", type=Path, required=True)
    args = ap.parse_args()
    lines = [json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows()]
    args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
