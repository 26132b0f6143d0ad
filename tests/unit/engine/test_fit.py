"""The training loop: it learns, resumes exactly, keeps the best, and stops on a loss that is no number."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from raydr.engine.batch import Pool
from raydr.engine.context import LocalContext
from raydr.engine.fit import FitPlan, Training, fit
from raydr.engine.sources import ShuffledPool
from raydr.engine.steps import ClassifyStep

PLAN = FitPlan(
    epochs=4, warmup_fraction=0.1, gradient_clip=1.0, precision="fp32", seed=3, settings_digest="d", keep_best=None
)


def noisy_view(image, generator):
    return image.float() / 255 + 0.1 * torch.randn(image.shape, generator=generator)


def training() -> Training:
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    grade = generator.integers(0, 5, size=24)
    image = np.clip(generator.normal(80 + 120 * (grade >= 2)[:, None, None, None], 20, (24, 3, 4, 4)), 0, 255)
    pool = Pool(image.astype(np.uint8), np.arange(24), grade)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 8), torch.nn.Tanh(), torch.nn.Dropout(0.1))
    network.append(torch.nn.Linear(8, 1))
    optimizer = torch.optim.AdamW([{"params": network.parameters(), "peak_lr": 0.05}], lr=0.05)
    return Training(network, optimizer, ClassifyStep(network, noisy_view, None), ShuffledPool(pool, 8, seed=3))


def weights(found: Training):
    return torch.cat([parameter.detach().flatten() for parameter in found.network.parameters()])


def test_the_loss_falls_on_a_separable_task(tmp_path):
    context = LocalContext(tmp_path)
    fit(training(), replace(PLAN, epochs=30), context, lambda _: {})
    losses = [row["loss"] for row in context.history]
    assert losses[-1] < 0.6 * losses[0]


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    whole, context = training(), LocalContext(tmp_path / "whole")
    fit(whole, PLAN, context, lambda _: {})

    class Cut(LocalContext):
        def report(self, metrics, save_state):
            super().report(metrics, save_state)
            if metrics["epoch"] == 1:
                raise KeyboardInterrupt

    cut = training()
    with pytest.raises(KeyboardInterrupt):
        fit(cut, PLAN, Cut(tmp_path / "cut"), lambda _: {})
    again, resumed = training(), LocalContext(tmp_path / "cut")
    progress = fit(again, PLAN, resumed, lambda _: {})
    assert [row["epoch"] for row in resumed.history] == [2.0, 3.0]
    assert torch.equal(weights(again), weights(whole))
    assert [row["loss"] for row in progress.history] == [row["loss"] for row in context.history]


def test_the_best_epochs_weights_are_kept_across_a_resumption(tmp_path):
    seen = {}

    def validate_on(found):
        def validate(epoch):
            seen[epoch] = weights(found)
            return {"val_auc": [0.6, 0.9, 0.7, 0.8][epoch]}

        return validate

    plan = replace(PLAN, keep_best="val_auc")
    first = training()
    fit(first, replace(plan, epochs=4), LocalContext(tmp_path), validate_on(first))
    assert torch.equal(weights(first), seen[1])
    later = training()
    progress = fit(later, plan, LocalContext(tmp_path), validate_on(later))
    assert (progress.best_epoch, progress.best_value) == (1, 0.9)
    assert torch.equal(weights(later), seen[1])


def test_a_loss_that_is_no_number_stops_the_run_naming_epoch_step_and_rank(tmp_path):
    found = training()

    @dataclass
    class Breaks:
        calls: int = 0

        def __call__(self, batch, generator):
            self.calls += 1
            loss = found.step(batch, generator)
            return loss * float("nan") if self.calls == 5 else loss

    with pytest.raises(FloatingPointError, match="epoch 1, step 1, rank 0"):
        fit(replace(found, step=Breaks()), PLAN, LocalContext(tmp_path), lambda _: {})


def test_a_source_that_loses_a_tenth_of_its_batches_is_an_error(tmp_path):
    found = training()

    class Short:
        steps_per_epoch = 3

        def epoch(self, number):
            return iter(list(found.source.epoch(number))[:2])

    with pytest.raises(RuntimeError, match="2 batches came, 3 were due"):
        fit(replace(found, source=Short()), PLAN, LocalContext(tmp_path), lambda _: {})
