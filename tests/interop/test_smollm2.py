"""A real language model: SmolLM2 135M Instruct as `npm run models` exports it, in the engine against PyTorch.

The model is the site's (`npm run models -- add smollm2-135m`); where it was not added, the tests are skipped and
say so.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from fixtures.goldens import embeddings, logits, loss

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "real"))
from student import load_student  # noqa: E402

ID = "smollm2-135m"
N, NEW_TOKENS, STEPS = 8, 20, 2
ASKED = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
TEXTS = [
    (ASKED.format("How do I boil an egg?"), ["Put it into boiling water for eight minutes.", "I cannot help with that."]),
    (ASKED.format("Name a river in Italy."), ["The Po flows through", "Sorry, I will not"]),
]


def error(a, b) -> float:
    a, b = np.asarray(a, dtype=np.float64).ravel(), np.asarray(b, dtype=np.float64).ravel()
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def model_folder() -> Path:
    own = ROOT / "public" / "models" / ID
    if (own / "manifest.json").exists():
        return own
    pytest.skip(f"{ID} is not on this site: npm run models -- add {ID}")


def make_examples(encode) -> list[dict]:
    """Prompts with two paths each; the paths of a prompt share the target of their first position."""
    random = np.random.default_rng(5)
    examples = []
    for prompt, answers in TEXTS:
        paths = []
        first = {"w": 0.35, "rho": [[random.integers(3, 40000).item(), 0.75], [random.integers(3, 40000).item(), 0.25]]}
        for answer in answers:
            tokens = encode(answer)
            rows = [first] + [{"w": float(random.uniform(0, 0.9)), "rho": [[t, 1.0]]} for t in tokens[1:]]
            paths.append({"tokens": tokens, "coef": random.uniform(0.02, 0.1, len(tokens)).tolist(),
                          "w": [row["w"] for row in rows], "rho": [row["rho"] for row in rows]})
        examples.append({"prompt": encode(prompt), "paths": paths})
    return examples


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """The model in PyTorch with the file's own weights, the job, and what the engine makes of it."""
    tmp = tmp_path_factory.mktemp("smollm2")
    folder = model_folder()
    path = tmp / "model_q4.onnx"
    parts = sorted((folder / "onnx").glob("model_q4.onnx*"))
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    model, _ = load_student(folder, torch.float64)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids  # noqa: E731
    soft = embeddings(model, encode("You are a careful and helpful assistant who says no.")[:N]).float()
    assert len(soft) == N
    job = {"files": [str(path)], "config": str(folder / "config.json"), "soft": soft.flatten().tolist(), "n": N,
           "ids": encode(ASKED.format("What is the capital of France?") + "The capital of France is Paris."),
           "prompt": encode(ASKED.format("What is the capital of France?")), "newTokens": NEW_TOKENS,
           "examples": make_examples(encode), "steps": STEPS, "learningRate": 0.02}
    (tmp / "job.json").write_text(json.dumps(job))
    engine = ["node", ROOT / "tests" / "interop" / "engine.mjs", tmp / "job.json", tmp / "result.json"]
    subprocess.run([str(part) for part in engine], check=True, cwd=ROOT)
    return model, tokenizer, job, soft.double(), json.loads((tmp / "result.json").read_text())


def test_logits(case):
    model, _, job, soft, result = case
    stream = embeddings(model, job["ids"])
    with torch.no_grad():
        assert error(result["logits"], logits(model, stream)) <= 1e-5
        assert error(result["softLogits"], logits(model, torch.cat([soft, stream]))[N:]) <= 1e-5


def test_greedy_text(case):
    model, tokenizer, job, soft, result = case
    assert "Paris" in tokenizer.decode(result["greedy"]["plain"])
    for name, prefix in (("plain", soft[:0]), ("soft", soft)):
        tokens = result["greedy"][name]
        assert len(tokens) == NEW_TOKENS
        # If each token is the most likely one behind those before it, this is PyTorch's greedy text too.
        with torch.no_grad():
            stream = torch.cat([prefix, embeddings(model, job["prompt"] + tokens[:-1])])
            assert logits(model, stream)[-NEW_TOKENS:].argmax(-1).tolist() == tokens, name


@pytest.mark.parametrize("objective", ["tv", "kl"])
def test_loss_and_gradient(case, objective):
    model, _, job, soft, result = case
    leaf = soft.clone().requires_grad_(True)
    value = loss(model, leaf, job["examples"], objective)
    value.backward()
    assert result[objective]["loss"] == pytest.approx(value.item(), rel=1e-4)
    assert error(result[objective]["gradient"], leaf.grad) <= 1e-4


@pytest.mark.parametrize("objective", ["tv", "kl"])
def test_training(case, objective):
    model, _, job, _, result = case
    run = result[objective]
    assert len(run["losses"]) == STEPS
    assert run["losses"][0] == pytest.approx(run["loss"], rel=1e-4)
    trained = torch.tensor(run["trained"], dtype=torch.float64).reshape(N, -1)
    with torch.no_grad():
        value = loss(model, trained, job["examples"], objective)
    assert run["finalLoss"] == pytest.approx(value.item(), rel=1e-4)
