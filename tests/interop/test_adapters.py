"""The goldens of LoRA and steering: made again, and held to directional derivatives."""

import json

import numpy as np
import pytest
import torch
from adapter_goldens import Adapter, loss_and_gradient
from steer import losses
from test_goldens import Golden, error

POCKET = Golden("pocket")
FIXTURES, GOLDEN = POCKET.folder, POCKET.json
CASES = json.loads((FIXTURES / "adapters.json").read_text())


def array(name: str, which: str) -> np.ndarray:
    entry = CASES[name]["arrays"][which]
    return np.fromfile(FIXTURES / entry["file"], dtype="<f4").reshape(entry["shape"])


@pytest.fixture(scope="module")
def model():
    return POCKET.model


@pytest.mark.parametrize("objective", ["tv", "kl"])
@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_can_be_made_again(model, name, objective):
    case = CASES[name]
    adapter, loss = loss_and_gradient(model, case["shape"], case["seed"], GOLDEN, objective)
    assert loss == pytest.approx(case["losses"][objective], rel=1e-9)
    assert error(adapter.flat(), array(name, "values")) <= 1e-7
    assert error(adapter.gradient(), array(name, f"{objective}Gradient")) <= 1e-6


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_the_directional_derivative(model, name):
    case = CASES[name]
    adapter = Adapter(model, case["shape"], case["seed"])
    none = torch.zeros(0, model.c.hidden_size, dtype=torch.float64)
    g = torch.Generator().manual_seed(9)
    directions = [torch.randn(p.shape, generator=g, dtype=torch.float64) for p in adapter.parts]

    def at(h: float) -> float:
        with torch.no_grad():
            for part, direction in zip(adapter.parts, directions, strict=True):
                part += h * direction
        loss, _ = losses(model, none, GOLDEN["examples"], GOLDEN["refusals"], "kl")
        with torch.no_grad():
            for part, direction in zip(adapter.parts, directions, strict=True):
                part -= h * direction
        return loss.item()

    try:
        slope = (at(1e-6) - at(-1e-6)) / 2e-6
    finally:
        adapter.remove()
    along = torch.cat([d.reshape(-1) for d in directions])
    assert slope == pytest.approx(float((torch.tensor(array(name, "klGradient")) * along).sum()), rel=1e-3)
