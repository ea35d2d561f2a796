"""The goldens of every objective: made again, and held to directional derivatives."""

import json

import numpy as np
import pytest
import torch
from objective_goldens import OBJECTIVES, TRAINED, Trained, drawn, loss_and_gradient, loss_of
from test_goldens import Golden, error

POCKET = Golden("pocket")
FIXTURES, GOLDEN = POCKET.folder, POCKET.json
CASES = json.loads((FIXTURES / "objectives.json").read_text())["cases"]


def golden_gradient(name: str, objective: str) -> np.ndarray:
    return np.fromfile(FIXTURES / CASES[name]["arrays"][objective]["file"], dtype="<f4")


@pytest.fixture(scope="module")
def model():
    return POCKET.model


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", TRAINED)
def test_loss_and_gradient_can_be_made_again(model, name, objective):
    loss, gradient, _ = loss_and_gradient(model, name, objective, GOLDEN, FIXTURES)
    assert loss == pytest.approx(CASES[name]["losses"][objective], rel=1e-9)
    assert error(gradient, golden_gradient(name, objective)) <= 1e-6


# TaiLr's weight is held fixed, so that its gradient is not its value's.
@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "tailr"])
def test_gradient_is_the_directional_derivative(model, objective):
    trained = Trained(model, "soft", FIXTURES)
    _, log_q = loss_of(model, objective, trained.soft, GOLDEN)
    old = drawn(log_q)
    g = torch.Generator().manual_seed(9)
    direction = torch.randn(trained.soft.shape, generator=g, dtype=torch.float64)

    def at(h: float) -> float:
        with torch.no_grad():
            loss, _ = loss_of(model, objective, trained.soft + h * direction, GOLDEN, old)
        return loss.item()

    slope = (at(1e-7) - at(-1e-7)) / 2e-7
    along = golden_gradient("soft", objective) @ direction.numpy().reshape(-1)
    assert slope == pytest.approx(float(along), rel=1e-3)
