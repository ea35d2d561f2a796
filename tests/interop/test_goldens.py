"""The goldens against onnxruntime on the committed file, and against a fresh computation."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from onnx_weights import load_dequantised, run_session, session
from steer import losses

ROOT = Path(__file__).resolve().parents[2]
STUDENTS = ["pocket", "class"]


class Golden:
    def __init__(self, student: str):
        self.student = ROOT / "public" / "models" / student
        self.folder = ROOT / "tests" / "fixtures" / student
        self.json = json.loads((self.folder / "golden.json").read_text())
        self.model = load_dequantised(self.student)

    def __getitem__(self, key: str):
        return self.json[key]

    def array(self, name: str) -> np.ndarray:
        entry = self.json["arrays"][name]
        return np.fromfile(self.folder / entry["file"], dtype="<f4").reshape(entry["shape"])


def error(a, b) -> float:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.fixture(scope="module", params=STUDENTS)
def golden(request):
    return Golden(request.param)


def test_goldens_belong_to_the_committed_file(golden):
    data = (golden.student / "onnx" / "model_q4.onnx").read_bytes()
    assert hashlib.sha256(data).hexdigest() == golden["model"]["sha256"]


def test_logits_match_onnxruntime(golden):
    got = run_session(session(golden.student), golden["ids"], None, golden.model.c)
    expected = golden.array("logits")
    assert error(got[-len(expected):], expected) <= 1e-5


def test_prefix_matches_onnxruntime(golden):
    past = list(zip(golden.array("prefixKeys"), golden.array("prefixValues"), strict=True))
    got = run_session(session(golden.student), golden["ids"], past, golden.model.c)
    expected = golden.array("softLogits")
    assert error(got[-len(expected):], expected) <= 1e-5


@pytest.mark.parametrize("objective", ["tv", "kl"])
def test_loss_and_gradient_can_be_made_again(golden, objective):
    soft = torch.tensor(golden.array("soft"), dtype=torch.float64).requires_grad_(True)
    loss, parts = losses(golden.model, soft, golden["examples"], golden["refusals"], objective)
    loss.backward()
    assert loss.item() == pytest.approx(golden["objectives"][objective]["loss"], rel=1e-9)
    assert error(soft.grad, golden.array(f"{objective}Gradient")) <= 1e-6
    for i, example in enumerate(golden["examples"]):
        for j, path in enumerate(("sampled", "refusal")):
            assert parts[2 * i + j]["w"].tolist() == pytest.approx(example[f"{path}W"], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("objective", ["tv", "kl"])
def test_gradient_is_the_directional_derivative(golden, objective):
    soft = torch.tensor(golden.array("soft"), dtype=torch.float64)
    direction = torch.randn(soft.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h = 1e-6
    with torch.no_grad():
        up, _ = losses(golden.model, soft + h * direction, golden["examples"], golden["refusals"], objective)
        down, _ = losses(golden.model, soft - h * direction, golden["examples"], golden["refusals"], objective)
    slope = float((up - down) / (2 * h))
    assert slope == pytest.approx(float((torch.tensor(golden.array(f"{objective}Gradient")) * direction).sum()), rel=1e-3)


def test_the_batch_exercises_the_posterior(golden):
    weights = [w for e in golden["examples"] for path in ("sampledW", "refusalW") for w in e[path]]
    assert any(0.01 < w < 0.99 for w in weights)
    assert any(w == 0 for w in weights)
