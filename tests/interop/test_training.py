"""A training run that was cut and goes on ends with the same weights."""

from pathlib import Path

import pytest
import torch

from llama import Int4Linear
from train_student import PRESETS, Schedule, arguments, load, train


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "weights.pt")


@pytest.fixture(autouse=True)
def no_fake_int4_afterwards():
    yield
    Int4Linear.fake = False


def test_a_resumed_run_ends_with_the_same_bits(tmp_path, monkeypatch):
    common = ["--steps", "6", "--batch", "4", "--checkpoint-every", "2"]
    train(arguments([*common, "--out", str(tmp_path / "whole")]))

    class Killed(Exception):
        pass

    # killed in step 4, with a checkpoint of step 2
    steps = iter(range(10))
    step = torch.optim.AdamW.step

    def killed_in_the_fourth(self, *args, **kwargs):
        if next(steps) == 3:
            raise Killed
        return step(self, *args, **kwargs)

    cut = str(tmp_path / "cut")
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", killed_in_the_fourth)
        with pytest.raises(Killed):
            train(arguments([*common, "--out", cut]))
    assert torch.load(tmp_path / "cut" / "checkpoint.pt", weights_only=False)["step"] == 2
    train(arguments([*common, "--out", cut, "--resume"]))
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_the_schedule_ends_with_the_steps_or_with_the_clock(monkeypatch):
    by_steps = Schedule(1000, cosine=True, deadline=None, done=0.0)
    assert by_steps.progress(250) == 0.25
    assert by_steps.rate(2.0, 250, 0.5) == pytest.approx(1.0)
    by_clock = Schedule(1000, cosine=False, deadline="23:59", done=0.4)
    assert by_clock.progress(0) == pytest.approx(0.4, abs=0.01)
    now = by_clock.start
    monkeypatch.setattr("time.time", lambda: now + by_clock.seconds / 2)
    assert by_clock.progress(100) == pytest.approx(0.7)
    assert by_clock.progress(900) == 0.9
    monkeypatch.setattr("time.time", lambda: now + by_clock.seconds)
    assert by_clock.progress(0) == 1


@pytest.mark.parametrize("size", list(PRESETS))
def test_a_student_is_read_back_with_its_shape(size, tmp_path):
    from llama import Llama

    torch.save(Llama(PRESETS[size].config).state_dict(), tmp_path / "weights.pt")
    assert load(tmp_path).c == PRESETS[size].config
