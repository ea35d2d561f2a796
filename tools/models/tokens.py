"""Byte-level BPE tokenizer (2048 entries) with a chat template that has a system role."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

import corpus

VOCAB = 2048
SPECIAL = ["<pad>", "<bos>", "<end>", "<system>", "<user>", "<assistant>"]
PAD, BOS, END, SYSTEM, USER, ASSISTANT = range(6)
ENCODER_SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<' + message['role'] + '>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)


def texts(seed: int, count: int) -> list[str]:
    """Text of the training split only."""
    sampler = corpus.Sampler(seed)
    out = list(corpus.SAFE + corpus.OPEN + corpus.NEUTRAL + corpus.REFUSALS) * 20
    out += [b for bodies in corpus.BODIES.values() for b in bodies] * 20 + corpus.OPENERS * 20
    for label in ("harmful", "borderline", "benign", "benign"):
        for _ in range(count):
            ex = sampler.train(label)
            out.append(ex.prompt)
            if ex.answer:
                out.append(ex.answer)
    return out


def train_bpe(special: list[str], vocab: int, seed: int) -> Tokenizer:
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(
        texts(seed, 8000),
        trainers.BpeTrainer(vocab_size=vocab, special_tokens=special, show_progress=False, min_frequency=2,
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
    )
    return tok


def save_student_tokenizer(out: Path, seed: int) -> None:
    tok = train_bpe(SPECIAL, VOCAB, seed)
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.json").write_text(tok.to_str() + "\n")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>", "eos_token": "<end>", "pad_token": "<pad>",
        "model_max_length": 512, "padding_side": "left", "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def save_encoder_tokenizer(out: Path, vocab: int, seed: int) -> None:
    """[CLS] prompt [SEP], or [CLS] prompt [SEP] response [SEP]."""
    tok = train_bpe(ENCODER_SPECIAL, vocab, seed)
    tok.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    out.mkdir(parents=True, exist_ok=True)
    (out / "tokenizer.json").write_text(tok.to_str() + "\n")
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]",
        "model_max_length": 128, "padding_side": "right", "clean_up_tokenization_spaces": False,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


class Student:
    """Ids of chat text without going through the template engine; test_interop checks they agree."""

    def __init__(self, folder: Path):
        self.tok = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def ids(self, text: str) -> list[int]:
        return self.tok.encode(text, add_special_tokens=False).ids

    def prompt(self, user: str, system: str | None = None) -> list[int]:
        head = [BOS] if system is None else [BOS, SYSTEM, *self.ids(system)]
        return [*head, USER, *self.ids(user), ASSISTANT]

    def response(self, text: str) -> list[int]:
        return [*self.ids(text), END]

    def text(self, ids: list[int]) -> str:
        if END in ids:
            ids = ids[: ids.index(END)]
        return self.tok.decode(ids, skip_special_tokens=True)
