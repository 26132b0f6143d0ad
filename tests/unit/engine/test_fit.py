"""The training loop: it learns, resumes exactly, keeps the best, and stops on a loss that is no number."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from raydr.engine.batch import Pool
from raydr.engine.context import LocalContext
from raydr.engine.fit import FitPlan, StoppedError, Training, fit
from raydr.engine.sources import ShuffledPool
from raydr.engine.state import StateError, TornStateError, load_state
from raydr.engine.step import Step
from raydr.engine.steps.classify import ClassifyStep
from raydr.engine.wish import Wish

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


class Altered(Step):
    """Another step whose loss is no number at its n-th call."""

    def __init__(self, step: Step, broken_call: int) -> None:
        self.step, self.broken_call, self.calls = step, broken_call, 0

    def outputs(self, batch, generator):
        return self.step.outputs(batch, generator)

    def loss(self, outputs, batch):
        self.calls += 1
        loss = self.step.loss(outputs, batch)
        return loss * float("nan") if self.calls == self.broken_call else loss


@pytest.mark.parametrize(
    ("call", "where", "intact"),
    [(5, "epoch 1, step 1, rank 0", "step 0 of epoch 1 is intact"), (3, "epoch 0, step 2, rank 0", "none was saved")],
)
def test_a_loss_that_is_no_number_stops_the_run_naming_epoch_step_rank_and_the_state(tmp_path, call, where, intact):
    found = training()
    with pytest.raises(FloatingPointError, match=f"{where}.*{intact}"):
        fit(replace(found, step=Altered(found.step, call)), PLAN, LocalContext(tmp_path), lambda _: {})


def test_no_state_is_saved_after_a_loss_that_is_no_number(tmp_path):
    found, plan = training(), replace(PLAN, save_every_steps=1)
    with pytest.raises(FloatingPointError, match=r"step 1 of epoch 0 is intact|none was saved"):
        fit(replace(found, step=Altered(found.step, 2)), plan, LocalContext(tmp_path), lambda _: {})
    for state in LocalContext(tmp_path).states():
        with state as folder:
            weights_of = training()
            load_state(
                folder, network=weights_of.network, optimizer=weights_of.optimizer, settings_digest=plan.settings_digest
            )
            assert all(parameter.isfinite().all() for parameter in weights_of.network.parameters())


def test_a_source_that_loses_a_tenth_of_its_batches_is_an_error(tmp_path):
    found = training()

    class Short:
        steps_per_epoch = 3

        def epoch(self, number, start=0):
            return iter(list(found.source.epoch(number, start))[:2])

    with pytest.raises(RuntimeError, match="2 batches came, 3 were due"):
        fit(replace(found, source=Short()), PLAN, LocalContext(tmp_path), lambda _: {})


class Stops(LocalContext):
    """Told to stop at its n-th question."""

    def __init__(self, folder, call):
        super().__init__(folder)
        self.call, self.calls = call, 0

    def wish(self):
        self.calls += 1
        return Wish.STOP if self.calls == self.call else Wish.GO_ON


@pytest.mark.parametrize("call", [1, 2, 4, 8])
def test_stopped_in_the_middle_of_an_epoch_and_resumed_equals_uninterrupted(tmp_path, call):
    """Same losses, same weights; batches, views, dropout, schedule and the epoch's mean included."""
    whole, context = training(), LocalContext(tmp_path / "whole")
    fit(whole, PLAN, context, lambda _: {})
    with pytest.raises(StoppedError, match=r"told to stop: the state at step \d of epoch \d is saved"):
        fit(training(), PLAN, Stops(tmp_path / "cut", call), lambda _: {})
    again = training()
    progress = fit(again, PLAN, LocalContext(tmp_path / "cut"), lambda _: {})
    assert torch.equal(weights(again), weights(whole))
    assert [row["loss"] for row in progress.history] == [row["loss"] for row in context.history]


def test_a_killed_training_loses_at_most_the_steps_between_two_states(tmp_path):
    plan, seen = replace(PLAN, save_every_steps=2), []

    class Killed(Altered):
        def outputs(self, batch, generator):
            seen.append(batch.row.tolist())
            if len(seen) == 9:
                raise KeyboardInterrupt
            return super().outputs(batch, generator)

    cut = training()
    with pytest.raises(KeyboardInterrupt):
        fit(replace(cut, step=Killed(cut.step, 0)), plan, LocalContext(tmp_path), lambda _: {})
    again, whole = training(), training()
    killed_at = len(seen)
    resumed = []

    class Noted(Altered):
        def outputs(self, batch, generator):
            resumed.append(batch.row.tolist())
            return super().outputs(batch, generator)

    fit(replace(again, step=Noted(again.step, 0)), plan, LocalContext(tmp_path), lambda _: {})
    fit(whole, PLAN, LocalContext(tmp_path / "whole"), lambda _: {})
    assert 12 - len(resumed) >= killed_at - 1 - 3
    assert torch.equal(weights(again), weights(whole))


def test_a_torn_state_is_passed_over_for_the_one_before_it(tmp_path):
    whole, context = training(), LocalContext(tmp_path / "whole")
    fit(whole, PLAN, context, lambda _: {})
    fit(training(), replace(PLAN, epochs=4), LocalContext(tmp_path / "cut"), lambda _: {})
    newest = tmp_path / "cut" / "state" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    again, resumed = training(), LocalContext(tmp_path / "cut")
    fit(again, PLAN, resumed, lambda _: {})
    assert [row["epoch"] for row in resumed.history] == [3.0]
    assert torch.equal(weights(again), weights(whole))


def test_where_every_state_is_torn_the_training_does_not_silently_start_again(tmp_path):
    fit(training(), PLAN, LocalContext(tmp_path), lambda _: {})
    for name in ("state", "previous"):
        (tmp_path / name / "optimizer.pt").write_bytes(b"")
    with pytest.raises(TornStateError, match=r"optimizer\.pt"):
        fit(training(), PLAN, LocalContext(tmp_path), lambda _: {})


def test_a_state_of_other_settings_is_refused_even_if_an_older_one_would_do(tmp_path):
    fit(training(), PLAN, LocalContext(tmp_path), lambda _: {})
    with pytest.raises(StateError, match="other settings"):
        fit(training(), replace(PLAN, settings_digest="e"), LocalContext(tmp_path), lambda _: {})


def test_onlookers_are_told_where_the_training_is(tmp_path, monkeypatch):
    told = []

    class Watched(LocalContext):
        def tell(self, figures):
            told.append(dict(figures))

    monkeypatch.setattr("raydr.engine.fit._TELL_EVERY_S", 0.0)
    fit(training(), PLAN, Watched(tmp_path), lambda _: {})
    assert [row["step"] for row in told if row["epoch"] == 1] == [2, 3]
    assert all(row["images_per_s"] > 0 and 0 <= row["data_wait"] <= 1 and row["eta_s"] >= 0 for row in told)
    assert {"loss", "steps_per_epoch"} <= set(told[0])


class Spoilt(torch.nn.Module):
    """Passes values through; from the n-th backward on their gradient is no number, though the loss is one."""

    def __init__(self, backward_number):
        super().__init__()
        self.backward_number, self.backwards = backward_number, 0

    def forward(self, values):
        if values.requires_grad:
            values.register_hook(self.spoil)
        return values

    def spoil(self, gradient):
        self.backwards += 1
        return gradient * float("nan") if self.backwards >= self.backward_number else gradient


def test_weights_that_a_gradient_without_number_has_spoilt_are_never_saved(tmp_path):
    """The loss of the step is sound, the weights after it are not: a state with them could not be gone on from."""
    found = training()
    found.network.append(Spoilt(6))
    with pytest.raises(FloatingPointError, match="the gradient's norm is nan at epoch 1, step 2, rank 0"):
        fit(found, replace(PLAN, save_every_steps=1), LocalContext(tmp_path), lambda _: {})
    again = training()
    progress = fit(again, PLAN, LocalContext(tmp_path), lambda _: {})
    assert all(np.isfinite(row["loss"]) for row in progress.history)
    assert weights(again).isfinite().all()


def test_a_batch_goes_through_the_network_in_pieces_where_the_plan_says_so(tmp_path):
    sizes = []

    class Noted(Altered):
        def outputs(self, batch, generator):
            sizes.append(len(batch.row))
            return super().outputs(batch, generator)

    whole, pieces = training(), training()
    whole.network[3].p = pieces.network[3].p = 0.0
    fit(replace(whole, step=ClassifyStep(whole.network, still, None)), PLAN, LocalContext(tmp_path / "a"), lambda _: {})
    step = Noted(ClassifyStep(pieces.network, still, None), 0)
    fit(replace(pieces, step=step), replace(PLAN, images_at_once=3), LocalContext(tmp_path / "b"), lambda _: {})
    assert set(sizes) == {2, 3}
    assert len(sizes) == 4 * 3 * 2 * 3  # epochs, steps, passes, pieces
    torch.testing.assert_close(weights(pieces), weights(whole), rtol=1e-4, atol=1e-5)


def still(image, _generator):
    return image.float() / 255


def test_with_other_batches_a_resumed_epoch_is_as_far_in_images(tmp_path):
    """As with other workers: 4 of 12 steps done are 1 of 3, with a third of the epoch's losses."""
    found = training()
    finer = replace(found, source=ShuffledPool(found.source.pool, 2, seed=3))
    with pytest.raises(StoppedError, match="step 4 of epoch 0"):
        fit(finer, PLAN, Stops(tmp_path, 3), lambda _: {})
    seen = []

    class Noted(Altered):
        def outputs(self, batch, generator):
            seen.append(batch.row.tolist())
            return super().outputs(batch, generator)

    again = training()
    context = LocalContext(tmp_path)
    fit(replace(again, step=Noted(again.step, 0)), PLAN, context, lambda _: {})
    order = np.random.default_rng([3, 0]).permutation(24)
    assert seen[:2] == [order[8:16].tolist(), order[16:].tolist()]
    assert context.history[0]["loss"] == pytest.approx(context.history[1]["loss"], rel=0.5)


def test_a_network_laid_out_channels_last_goes_on_with_moments_laid_out_alike(tmp_path):
    """A fused optimiser refuses moments that lie otherwise than their weights, or on a CPU takes them wrongly."""

    def convolutional():
        torch.manual_seed(0)
        found = training()
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Flatten(), torch.nn.Linear(32, 1))
        network.to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW([{"params": network.parameters(), "peak_lr": 0.05}], lr=0.05)
        return replace(found, network=network, optimizer=optimizer, step=ClassifyStep(network, still, None))

    with pytest.raises(StoppedError):
        fit(convolutional(), PLAN, Stops(tmp_path, 4), lambda _: {})
    again = convolutional()
    fit(again, PLAN, LocalContext(tmp_path), lambda _: {})
    weight = again.network[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert again.optimizer.state[weight]["exp_avg"].stride() == weight.stride()


AVERAGED = replace(PLAN, ema_decay=0.8)


def test_the_average_is_validated_and_kept_and_training_is_not_touched_by_it(tmp_path):
    seen: dict[str, list[torch.Tensor]] = {"plain": [], "averaged": []}
    plain, averaged = training(), training()
    fit(
        plain,
        PLAN,
        plain_context := LocalContext(tmp_path / "plain"),
        lambda _: seen["plain"].append(weights(plain)) or {},
    )
    fit(
        averaged,
        AVERAGED,
        context := LocalContext(tmp_path),
        lambda _: seen["averaged"].append(weights(averaged)) or {},
    )
    assert [row["loss"] for row in context.history] == [row["loss"] for row in plain_context.history]
    assert not any(torch.equal(one, other) for one, other in zip(*seen.values(), strict=True))
    assert torch.equal(weights(averaged), seen["averaged"][-1])
    assert torch.equal(weights(plain), seen["plain"][-1])


def test_the_best_epochs_average_is_kept(tmp_path):
    seen = []
    found = training()

    def validate(epoch):
        seen.append(weights(found))
        return {"val_auc": [0.6, 0.9, 0.7, 0.8][epoch]}

    fit(found, replace(AVERAGED, keep_best="val_auc"), LocalContext(tmp_path), validate)
    assert torch.equal(weights(found), seen[1])


@pytest.mark.parametrize("after", [2, 5])  # in the middle of the first epoch of three steps, and of the next
def test_an_average_interrupted_and_resumed_is_that_of_an_uninterrupted_training(tmp_path, after):
    whole = training()
    fit(whole, AVERAGED, LocalContext(tmp_path / "whole"), lambda _: {})

    class Cut(LocalContext):
        def keep(self, step, save_state):
            super().keep(step, save_state)
            if step == after:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(training(), replace(AVERAGED, save_every_steps=1), Cut(tmp_path / "cut"), lambda _: {})
    again = training()
    fit(again, AVERAGED, LocalContext(tmp_path / "cut"), lambda _: {})
    assert torch.equal(weights(again), weights(whole))
