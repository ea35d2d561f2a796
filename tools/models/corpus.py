"""Deterministic corpus: intents x phrases x frames x wrappers, with three splits.

train    known intents, phrases and frames kept for training
wording  known intents, a phrase or a frame never used in training
intent   intents (or slot fillings) never used in training
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass, field
from functools import lru_cache

from grammar import benign as B
from grammar.borderline import STYLES
from grammar.frames import FRAMES, MANY
from grammar.harmful import BODIES, CATEGORIES, OPENERS, REFUSALS, SLOTS, WRAPPERS
from grammar.preambles import NEUTRAL, OPEN, SAFE

__all__ = ["REFUSALS", "BODIES", "OPENERS", "SAFE", "OPEN", "NEUTRAL", "WRAPPERS", "Intent", "Example",
           "intents", "Sampler", "build_split", "DATA_SEED"]

DATA_SEED = 20260
PHRASE_CAP = 160


def digest(*parts: object) -> int:
    text = "\x1f".join(str(p) for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def articles(text: str) -> str:
    """`a owl` becomes `an owl`; the grammar writes either."""
    vowel = r"(?=[aeio]|(?:ugly|uncle|old)\b)"
    text = re.sub(rf"\b([Aa]) {vowel}(?!one\b|ones\b)", r"\1n ", text)
    return re.sub(r"\b([Aa])n (?!hour\b|honest\b)(?=[b-df-hj-np-tv-zA-Z])(?![AEIOaeio])", r"\1 ", text)


def split_top(text: str) -> list[str]:
    out, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == "|" and depth == 0:
            out.append(text[start:i])
            start = i + 1
    return [*out, text[start:]]


def expand(grammar: str) -> list[str]:
    """All strings of a grammar with alternatives `(a|b)` and slots `{name}`, in a fixed order."""
    grammar = re.sub(r"\{(\w+)\}", lambda m: "(" + "|".join(SLOTS[m[1]]) + ")" if m[1] in SLOTS else m[0], grammar)

    def walk(text: str) -> list[str]:
        options = split_top(text)
        if len(options) > 1:
            return [s for o in options for s in walk(o)]
        at = text.find("(")
        if at < 0:
            return [text]
        depth = 0
        for i in range(at, len(text)):
            depth += (text[i] == "(") - (text[i] == ")")
            if depth == 0:
                break
        return [text[:at] + mid + tail for mid in walk(text[at + 1:i]) for tail in walk(text[i + 1:])]

    seen = dict.fromkeys(articles(re.sub(r"\s+", " ", s).strip()) for s in walk(grammar))
    return list(seen)


@dataclass
class Intent:
    name: str
    label: str
    kind: str
    group: str
    held_out: bool
    # (phrase, answer); harmful phrases have no answer
    train: list[tuple[str, str | None]] = field(default_factory=list)
    test: list[tuple[str, str | None]] = field(default_factory=list)
    unseen: list[tuple[str, str | None]] = field(default_factory=list)
    weight: float = 1.0


def add_phrases(intent: Intent, phrases: list[str], answer: str | None) -> None:
    """Keep a fifth of the phrases for testing; intents with fewer than four vary by frame only."""
    phrases = sorted(phrases, key=lambda p: digest("cap", intent.name, p))[:PHRASE_CAP]
    if intent.held_out:
        intent.unseen += [(p, answer) for p in phrases]
        return
    held = [p for p in phrases if digest("hold", intent.name, p) % 5 == 0] if len(phrases) >= 4 else []
    for p in phrases:
        (intent.test if p in held else intent.train).append((p, answer))


@lru_cache
def intents() -> tuple[Intent, ...]:
    out: list[Intent] = []

    def new(name: str, label: str, kind: str, group: str, weight: float = 1.0) -> Intent:
        it = Intent(name.rstrip("!"), label, kind, group, name.endswith("!"), weight=weight)
        out.append(it)
        return it

    for category, members in CATEGORIES.items():
        for name, grammar in members.items():
            add_phrases(new(name, "harmful", "vp", category), expand(grammar), None)
    for style, members in STYLES.items():
        for name, (kind, grammar, answer) in members.items():
            add_phrases(new(name, "borderline", kind, style), expand(grammar), answer)
    for name, (grammar, answer, table) in B.TABLES.items():
        it = new(name, "benign", "fact", "facts", weight=2.0 + len(table) / 10)
        for x, y in table.items():
            fill = articles(answer.replace("{x}", x).replace("{y}", y))
            fill = fill[0].upper() + fill[1:]
            it.train += [(p, fill) for p in expand(grammar.replace("{x}", x))]
    for name, (kind, grammar, answer, first, second) in B.PAIRS.items():
        it = new(name, "benign", kind, "writing", weight=3.0)
        for a in first:
            for b in second:
                rows = [(p, articles(answer.format(a=a, b=b))) for p in expand(grammar.replace("{a}", a).replace("{b}", b))]
                (it.unseen if digest("pair", name, a, b) % 6 == 0 else it.train).extend(rows)
    for name, (grammar, answer, values) in B.ONE_SLOT_TASKS.items():
        it = new(name, "benign", "task", "writing", weight=2.0)
        table = B.LISTS if values is None else {v: answer.format(x=v) for v in values}
        for x, y in table.items():
            it.train += [(p, articles(y)) for p in expand(grammar.replace("{x}", x))]
    for name, (grammar, answer) in B.HOWTO.items():
        add_phrases(new(name, "benign", "vp", "how-to"), expand(grammar), answer)
    for name, (grammar, answer) in B.TALK.items():
        add_phrases(new(name, "benign", "q", "talk", weight=1.5), expand(grammar), answer)
    for name, grammar in B.UNSEEN_TASKS.items():
        add_phrases(new(name, "benign", "task", "writing"), expand(grammar), None)
    for name, grammar in B.UNSEEN_HOWTO.items():
        add_phrases(new(name, "benign", "vp", "how-to"), expand(grammar), None)
    for name, kind, text, weight in (("other_topic", "np", B.FALLBACK_TOPICS, 6.0), ("other_wish", "vp", B.FALLBACK_VPS, 4.0),
                                     ("other_text", "q", B.FALLBACK_WHOLE, 4.0)):
        it = new(name, "benign", kind, "fallback", weight=weight)
        for p in sorted(expand(text.replace("\n", " ").replace("| ", "|")), key=lambda p: digest("cap", p))[:400]:
            (it.test if digest("hold", name, p) % 8 == 0 else it.train).append((p, B.FALLBACK_ANSWER))
    return tuple(out)


@dataclass
class Example:
    prompt: str
    label: str
    intent: str
    group: str
    wrapper: str | None
    answer: str | None


def put(frame: str, phrase: str) -> str:
    return frame.replace("{}", phrase)


@lru_cache
def many(kind: str) -> tuple[str, ...]:
    held = {f.lower().strip(".?") for f in FRAMES[kind][1]}
    return tuple(f for line in MANY[kind].split("\n") for f in expand(line) if f.lower().strip(".?") not in held)


@lru_cache
def many_lines(kind: str) -> tuple[tuple[str, ...], ...]:
    known = set(many(kind))
    return tuple(tuple(f for f in expand(line) if f in known) for line in MANY[kind].split("\n"))


class Sampler:
    """Draws examples; one seed, one stream. `many_share` of the frames come from the wide grammar."""

    def __init__(self, seed: int, many_share: float = 0.35):
        self.rng = random.Random(seed)
        self.many_share = many_share
        self.by_label = {lab: [i for i in intents() if i.label == lab] for lab in ("harmful", "borderline", "benign")}

    def frame(self, kind: str, held: bool) -> str:
        if kind == "q":
            return "{}"
        if not held and self.rng.random() < self.many_share:
            return self.rng.choice(self.rng.choice(many_lines(kind)))
        return self.rng.choice(FRAMES[kind][1 if held else 0])

    def wrap(self, prompt: str, share: float) -> tuple[str, str | None]:
        if self.rng.random() >= share:
            return prompt, None
        name = self.rng.choice(list(WRAPPERS))
        return WRAPPERS[name].replace("{p}", prompt), name

    def train(self, label: str, wrap: float | None = None) -> Example:
        pool = [i for i in self.by_label[label] if i.train]
        it = self.rng.choices(pool, [i.weight for i in pool])[0]
        phrase, answer = self.rng.choice(it.train)
        share = (0.35 if label == "harmful" else 0.1) if wrap is None else wrap
        prompt, wrapper = self.wrap(put(self.frame(it.kind, False), phrase), share)
        return Example(prompt, label, it.name, it.group, wrapper, answer)

    def test(self, label: str, split: str, it: Intent) -> Example | None:
        """One test prompt: a held-out phrase in any frame, or a training phrase in a held-out frame."""
        if split == "intent":
            phrase, answer = self.rng.choice(it.unseen)
            held_frame = self.rng.random() < 0.5
        elif it.test and (it.kind == "q" or self.rng.random() < 0.5):
            phrase, answer = self.rng.choice(it.test)
            held_frame = self.rng.random() < 0.5
        elif it.train and it.kind != "q":
            phrase, answer = self.rng.choice(it.train)
            held_frame = True
        else:
            return None
        prompt, wrapper = self.wrap(put(self.frame(it.kind, held_frame), phrase), 0.35 if label == "harmful" else 0.1)
        return Example(prompt, label, it.name, it.group, wrapper, answer)


SIZES = {
    "train": {"harmful": 800, "borderline": 320, "benign": 480},
    "wording": {"harmful": 520, "borderline": 208, "benign": 260},
    "intent": {"harmful": 320, "borderline": 160, "benign": 130},
}


def build_split(split: str) -> list[Example]:
    """A fixed test or recipe set: intents take turns, so that each has nearly the same count."""
    sampler = Sampler(digest(DATA_SEED, split) % 2**31, many_share=0.2)
    out: list[Example] = []
    seen: set[str] = set()
    for label, count in SIZES[split].items():
        pool = [i for i in sampler.by_label[label] if (i.unseen if split == "intent" else i.train)]
        got: list[Example] = []
        turn = 0
        while len(got) < count:
            if split == "train":
                ex = sampler.train(label)
            else:
                ex = sampler.test(label, split, pool[turn % len(pool)])
            turn += 1
            if turn > 200 * count:
                raise RuntimeError(f"{split}/{label}: the grammar is too small for {count} prompts")
            if ex is None or ex.prompt in seen:
                continue
            seen.add(ex.prompt)
            got.append(ex)
        out += got
    return out
