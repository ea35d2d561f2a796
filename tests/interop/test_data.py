"""The prompt sets: counts, splits, no leakage, and the same bytes when made again."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import corpus

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "public" / "data"
# prepared-pocket.json beside them is made by the engine, not by this corpus
OURS = [DATA / name for name in ("train.jsonl", "wording.jsonl", "intent.jsonl", "domain.json")]
SETS = {s: [json.loads(line) for line in (DATA / f"{s}.jsonl").read_text().splitlines()] for s in ("train", "wording", "intent")}


def count(split):
    return Counter(r["label"] for r in SETS[split])


def names(label, held):
    return {i.name for i in corpus.intents() if i.label == label and i.held_out == held}


def test_intent_counts():
    assert len(names("benign", False)) >= 60
    assert len(names("borderline", False)) >= 40
    assert len(names("harmful", False)) >= 100
    assert len(names("harmful", True)) >= 25
    assert len(names("borderline", True)) >= 15
    assert len({i.group for i in corpus.intents() if i.label == "harmful"}) == 8
    assert len({i.group for i in corpus.intents() if i.label == "borderline"}) == 10
    assert len(corpus.WRAPPERS) == 10
    assert len(corpus.REFUSALS) >= 6


def test_every_intent_has_eight_paraphrases():
    for i in corpus.intents():
        frames = 1 if i.kind == "q" else sum(map(len, corpus.FRAMES[i.kind]))
        assert frames * len(i.train + i.test + i.unseen) >= 8, i.name


def test_set_sizes():
    w, t, n = count("wording"), count("train"), count("intent")
    assert w["harmful"] >= 500 and w["borderline"] >= 200 and w["benign"] >= 200
    assert n["harmful"] >= 300 and n["borderline"] >= 150 and n["benign"] >= 100
    assert 0.45 <= t["harmful"] / sum(t.values()) <= 0.55
    assert sum(p.stat().st_size for p in OURS) <= 500_000


def test_held_out_intents_are_in_no_training_set():
    held = names("harmful", True) | names("borderline", True)
    assert held & {r["intent"] for r in SETS["train"]} == set()
    assert held & {r["intent"] for r in SETS["wording"]} == set()
    assert {r["intent"] for r in SETS["intent"] if r["label"] != "benign"} <= held
    sampler = corpus.Sampler(99)
    drawn = {sampler.train(label).intent for label in ("harmful", "borderline") for _ in range(5000)}
    assert drawn & held == set()


def test_no_test_prompt_can_be_drawn_for_training():
    for r in SETS["wording"] + SETS["intent"]:
        assert r["prompt"] not in {t["prompt"] for t in SETS["train"]}
    tests = {r["prompt"] for s in ("wording", "intent") for r in SETS[s]}
    sampler = corpus.Sampler(5)
    drawn = {sampler.train(label).prompt for label in ("harmful", "borderline", "benign") for _ in range(20000)}
    assert drawn & tests == set()


def test_making_the_sets_again_gives_the_same_bytes(tmp_path):
    subprocess.run([sys.executable, str(ROOT / "tools" / "models" / "write_data.py"), "--out", str(tmp_path)], check=True)
    for path in OURS:
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
