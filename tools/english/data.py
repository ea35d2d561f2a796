"""What guard-en and judge-en are taught on, and what measures them. One split for both, by prompt.

Taught:   public/data/en/train.jsonl; sources/*.txt beside this file; XSTest, styles 1 to 5; HarmBench, the
          semantic categories TAUGHT_HARMBENCH, copyright apart; do_not_answer, three of five files;
          self_instruct, half of its tasks by hash.
Measures: XSTest, styles 6 to 10; HarmBench's other categories; the rest of do_not_answer and
          self_instruct; MT-Bench. None of it is opened here but by `measure.py`.
Dev:      public/data/en/dev.jsonl, for every choice and the threshold.

The public sets are read from --sets, never copied.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent / "sources"
DATA = ROOT / "public" / "data" / "en"

TAUGHT_STYLES = ("homonyms", "figurative_language", "safe_targets", "safe_contexts", "definitions")
TAUGHT_HARMBENCH = ("illegal", "misinformation_disinformation")
TAUGHT_DO_NOT_ANSWER = ("malicious_uses", "information_hazard", "discrimination_exclusion_toxicity_hateful_offensive")


@dataclass(frozen=True)
class Row:
    prompt: str
    label: str  # harmful, borderline, benign
    source: str


def own(split: str) -> list[Row]:
    lines = (DATA / f"{split}.jsonl").read_text().splitlines()
    return [Row(item["prompt"], item["label"], f"en/{split}") for item in map(json.loads, lines)]


def written() -> list[Row]:
    """The sources beside this file: labelled lines, twins, and ordinary prompts."""
    names = {"h": "harmful", "b": "borderline", "o": "benign"}
    rows: list[Row] = []
    for path in sorted(SOURCES.glob("*.txt")):
        for line in path.read_text().splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            if line[1:2] == "\t":
                rows.append(Row(line[2:].replace("\\n", "\n"), names[line[0]], path.stem))
                continue
            texts = [text.replace("\\n", "\n") for text in line.split(" || ")]
            labels = ["benign"] if len(texts) == 1 else ["harmful", "borderline"]
            rows += [Row(text, label, path.stem) for text, label in zip(texts, labels, strict=True)]
    return rows


def parity(text: str) -> int:
    return hashlib.sha256(text.encode()).digest()[0] % 2


def xstest(sets: Path, taught: bool) -> list[Row]:
    with (sets / "xstest" / "xstest_prompts.csv").open(newline="") as file:
        rows = [(r["prompt"], r["type"], r["label"]) for r in csv.DictReader(file)]
    inside = [r for r in rows if (r[1].removeprefix("contrast_") in TAUGHT_STYLES) == taught]
    return [Row(p, "harmful" if label == "unsafe" else "borderline", f"xstest/{kind}") for p, kind, label in inside]


def harmbench(sets: Path, taught: bool) -> list[Row]:
    """Contextual behaviours have their context first, as the set's own code puts it."""
    with (sets / "harmbench" / "harmbench_behaviors_text_all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    out = []
    for r in rows:
        kind = r["FunctionalCategory"]
        inside = r["SemanticCategory"] in TAUGHT_HARMBENCH and kind != "copyright"
        if inside != taught:
            continue
        context = r["ContextString"]
        prompt = f"{context}\n\n---\n\n{r['Behavior']}" if context else r["Behavior"]
        out.append(Row(prompt, "harmful", f"harmbench/{kind}/{r['SemanticCategory']}"))
    return out


def do_not_answer(sets: Path, taught: bool) -> list[Row]:
    rows = []
    for path in sorted((sets / "do_not_answer").glob("*.jsonl")):
        if (path.stem in TAUGHT_DO_NOT_ANSWER) == taught:
            rows += [Row(json.loads(line)["prompt"], "harmful", f"do_not_answer/{path.stem}") for line in path.open()]
    return rows


def self_instruct(sets: Path, taught: bool) -> list[Row]:
    rows = []
    for line in (sets / "self_instruct" / "seed_tasks.jsonl").open():
        task = json.loads(line)
        given = task["instances"][0]["input"]
        prompt = f"{task['instruction']}\n\n{given}" if given else task["instruction"]
        if (parity(task["instruction"]) == 0) == taught:
            rows.append(Row(prompt, "benign", "self_instruct"))
    return rows


def mt_bench(sets: Path) -> list[Row]:
    lines = (sets / "mt_bench" / "mt_bench_question.jsonl").read_text().splitlines()
    return [Row(json.loads(line)["turns"][0], "benign", "mt_bench") for line in lines]


def taught(sets: Path) -> list[Row]:
    return [
        *own("train"), *written(), *xstest(sets, True), *harmbench(sets, True), *do_not_answer(sets, True),
        *self_instruct(sets, True),
    ]


def completions(sets: Path, taught: bool) -> list[tuple[str, str, str, str]]:
    """XSTest's human labels: (prompt, answer, prompt's label, 1_full_compliance | 2_… | 3_partial_refusal)."""
    labels = {row.prompt: row.label for row in xstest(sets, taught)}
    out = []
    for path in sorted((sets / "xstest").glob("completions_*.csv")):
        with path.open(newline="") as file:
            for r in csv.DictReader(file):
                if r["prompt"] in labels:
                    out.append((r["prompt"], r["completion"], labels[r["prompt"]], r["final_label"]))
    return out


def base_answers(path: Path) -> dict[str, str]:
    """By prompt: what the student answers by itself, as tools/real/answers.py writes it."""
    return {item["prompt"]: item["answer"] for item in map(json.loads, path.open())}


def refusals() -> list[str]:
    return (SOURCES.parent / "refusals.txt").read_text().strip().splitlines()


def cut(text: str, rng: random.Random) -> str:
    """As an answer that the length limit ended."""
    words = text.split(" ")
    return text if rng.random() < 0.5 or len(words) < 6 else " ".join(words[: rng.randint(5, len(words))])
