"""The step rate is that of the training loop on this device, whole steps only."""

import math
import time

import pytest
import torch

from raydr.config.stages import PretrainStage
from raydr.engine.steps.simclr import SimclrStep
from raydr.learning.step_rate import TimedBatches, measure_step_rate

SMALL = PretrainStage.model_validate({"model": {"backbone": "resnet10t"}})


@pytest.mark.pipeline
def test_the_rate_is_images_over_the_time_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SimclrStep.outputs

    def slow(*arguments):  # type: ignore[no-untyped-def]
        time.sleep(0.2)
        return real(*arguments)

    monkeypatch.setattr(SimclrStep, "outputs", slow)
    rate = measure_step_rate(SMALL, side_px=32, num_images=2, device=torch.device("cpu"), seconds=0.01)
    assert 0 < rate < 2 / 0.2


@pytest.mark.pipeline
def test_the_precision_is_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PretrainStage.model_validate({"model": {"backbone": "resnet10t"}, "optim": {"precision": "bf16"}})
    used = []
    real = torch.autocast

    def noted(*arguments, **keywords):  # type: ignore[no-untyped-def]
        used.append(keywords["enabled"])
        return real(*arguments, **keywords)

    monkeypatch.setattr(torch, "autocast", noted)
    rate = measure_step_rate(settings, side_px=32, num_images=4, device=torch.device("cpu"), seconds=0.01)
    assert math.isfinite(rate)
    assert rate > 0
    assert True in used  # the loss turns it off for itself


def test_batches_come_until_the_time_is_up_and_at_least_two_steps_count() -> None:
    hasty = TimedBatches(batch=None, seconds=0.0)  # type: ignore[arg-type]
    assert len(list(hasty.epoch(0))) == 3  # one to warm up, two that count
    patient = TimedBatches(batch=None, seconds=0.05)  # type: ignore[arg-type]
    started = time.perf_counter()
    assert sum(1 for _ in patient.epoch(0)) > 3
    assert time.perf_counter() - started >= 0.05
