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
POCKET = ROOT / "public" / "models" / "pocket"
FIXTURES = ROOT / "tests" / "fixtures" / "pocket"
GOLDEN = json.loads((FIXTURES / "golden.json").read_text())


def array(name: str) -> np.ndarray:
    entry = GOLDEN["arrays"][name]
    return np.fromfile(FIXTURES / entry["file"], dtype="<f4").reshape(entry["shape"])


def error(a, b) -> float:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def model():
    return load_dequantised(POCKET)


def test_goldens_belong_to_the_committed_file():
    data = (POCKET / "onnx" / "model_q4.onnx").read_bytes()
    assert hashlib.sha256(data).hexdigest() == GOLDEN["model"]["sha256"]


def test_logits_match_onnxruntime(model):
    got = run_session(session(POCKET), GOLDEN["ids"], None, model.c)
    assert error(got, array("logits")) <= 1e-5


def test_prefix_matches_onnxruntime(model):
    past = list(zip(array("prefixKeys"), array("prefixValues"), strict=True))
    got = run_session(session(POCKET), GOLDEN["ids"], past, model.c)
    assert error(got, array("softLogits")) <= 1e-5


@pytest.mark.parametrize("objective", ["tv", "kl"])
def test_loss_and_gradient_can_be_made_again(model, objective):
    soft = torch.tensor(array("soft"), dtype=torch.float64).requires_grad_(True)
    loss, parts = losses(model, soft, GOLDEN["examples"], GOLDEN["refusals"], objective)
    loss.backward()
    assert loss.item() == pytest.approx(GOLDEN["objectives"][objective]["loss"], rel=1e-9)
    assert error(soft.grad, array(f"{objective}Gradient")) <= 1e-6
    for i, example in enumerate(GOLDEN["examples"]):
        for j, path in enumerate(("sampled", "refusal")):
            assert parts[2 * i + j]["w"].tolist() == pytest.approx(example[f"{path}W"], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("objective", ["tv", "kl"])
def test_gradient_is_the_directional_derivative(model, objective):
    soft = torch.tensor(array("soft"), dtype=torch.float64)
    direction = torch.randn(soft.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h = 1e-6
    with torch.no_grad():
        up, _ = losses(model, soft + h * direction, GOLDEN["examples"], GOLDEN["refusals"], objective)
        down, _ = losses(model, soft - h * direction, GOLDEN["examples"], GOLDEN["refusals"], objective)
    slope = float((up - down) / (2 * h))
    assert slope == pytest.approx(float((torch.tensor(array(f"{objective}Gradient")) * direction).sum()), rel=1e-3)


def test_the_batch_exercises_the_posterior():
    weights = [w for e in GOLDEN["examples"] for path in ("sampledW", "refusalW") for w in e[path]]
    assert any(0.01 < w < 0.99 for w in weights)
    assert any(w == 0 for w in weights)
