"""The training loop, one for every method: epochs of steps, a schedule, validation, state, resumption."""

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor, nn

from raydr.engine.accumulation import Passes, Scope, backward
from raydr.engine.batch import Batch
from raydr.engine.collectives import everybody
from raydr.engine.context import Context, SaveState
from raydr.engine.memory import keep_freed_memory
from raydr.engine.moving_average import MovingAverage, share_statistics
from raydr.engine.pace import Pace
from raydr.engine.prefetch import prefetched
from raydr.engine.signals import Signals, Word
from raydr.engine.sources import BatchSource
from raydr.engine.state import Progress, TornStateError, load_state, take_snapshot, weights_copy
from raydr.engine.step import Step
from raydr.engine.wish import Wish
from raydr.schedules import warmup_cosine


@dataclass(frozen=True, slots=True)
class FitPlan:
    """How long and how to train."""

    epochs: int
    warmup_fraction: float
    gradient_clip: float | None
    precision: Literal["fp32", "bf16"]
    seed: int
    settings_digest: str
    """Of everything that shapes the training: a state of other settings is refused."""
    keep_best: str | None = None
    """Metric whose best epoch's weights are kept; None keeps the last epoch's."""
    images_at_once: int | None = None
    """That a worker puts through the network at once; None: its whole part of a batch."""
    save_every_steps: int | None = None
    """Steps between saved states, beside the one at every epoch's end."""
    save_every_s: float | None = None
    """Seconds between saved states, by rank 0's clock."""
    ema_decay: float = 0.0
    """Of the moving average that is validated and kept in place of the weights; 0: the weights themselves are."""


@dataclass(frozen=True, slots=True)
class Training:
    """What is trained: the bare network whose weights are saved, its optimiser, its step, its batches."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    step: Step
    source: BatchSource
    no_sync: Scope = contextlib.nullcontext
    """Opens DDP's context in which workers keep their gradients to themselves."""


class StoppedError(Exception):
    """A training that was told to stop: its state is saved, and the same training goes on from there."""


_MIN_SHARE_OF_STEPS: Final = 0.9  # a stream drops unreadable photographs; one that lost more is broken
_TELL_EVERY_S: Final = 1.0

Validate = Callable[[int], Mapping[str, float]]
"""Metrics after epoch number n (from 0); the same on every worker."""


def seed_step(seed: int, *, epoch: int, step: int, rank: int) -> torch.Generator:
    """A generator for this rank's views in this step; dropout's global one is seeded alike.

    Nothing random outlives a step, so a training resumed at any of them repeats the uninterrupted one. It lives on the
    CPU: the same parameters on every device, and no waiting for a GPU.
    """
    number = int(np.random.SeedSequence([seed, epoch, step, rank]).generate_state(1, np.uint64)[0] >> 1)
    torch.manual_seed(number)
    return torch.Generator().manual_seed(number)


def fit(training: Training, plan: FitPlan, context: Context, validate: Validate) -> Progress:
    """Train to the end of the plan, from the newest whole state if there is one, and leave the kept weights in.

    Raises:
        FloatingPointError: The loss is not finite; names epoch, step, rank and the state that is intact.
        StateError: The state to resume from is of other settings.
        StoppedError: The context wished it.
    """
    if context.device.type == "cpu":
        keep_freed_memory()
    average = MovingAverage(training.network, plan.ema_decay) if plan.ema_decay else None
    loop = _Loop(training, plan, context, average)
    loop.resume()
    progress = loop.progress
    while progress.epochs_done < plan.epochs:
        epoch = progress.epochs_done
        training.network.train()
        figures = loop.train_epoch()
        share_statistics(training.network, average, context.world_size)
        training.network.eval()
        with average.put_in() if average else contextlib.nullcontext():
            metrics = {**figures, **validate(epoch)}
            progress.history.append(metrics)
            progress.epochs_done, progress.steps_done, progress.loss_sum = epoch + 1, 0, 0.0
            loop.keep_if_best(metrics)
        context.report(metrics, loop.state())
        loop.saved()
        if loop.is_told_to_stop and progress.epochs_done < plan.epochs:
            raise loop.stopped()
    if loop.best is not None:
        training.network.load_state_dict(loop.best)
    elif average:
        average.keep()
    training.network.eval()
    return progress


@dataclass(slots=True)
class _Loop:
    """A training under way."""

    training: Training
    plan: FitPlan
    context: Context
    average: MovingAverage | None = None
    progress: Progress = field(default_factory=Progress)
    best: dict[str, Tensor] | None = None
    is_told_to_stop: bool = False
    _saved: str | None = None
    """Where the training was when its state was last saved."""
    _saved_at: float = field(default_factory=time.monotonic)

    def resume(self) -> None:
        """Take up the newest state that is whole."""
        torn = None
        for state in self.context.states():
            with state as folder:
                try:
                    self.progress, self.best = load_state(
                        folder,
                        network=self.training.network,
                        optimizer=self.training.optimizer,
                        settings_digest=self.plan.settings_digest,
                        average=self.average,
                    )
                    fault = None
                except TornStateError as error:
                    fault = error
            # One worker that read an older state than the others would train another network beside them.
            if everybody(fault is None, self.context.world_size, self.context.device):
                self.saved()
                return
            torn = torn or fault or TornStateError("another worker cannot read the state")
            self.progress, self.best = Progress(), None
        if torn is not None:
            raise torn

    def train_epoch(self) -> dict[str, float]:
        """The rest of the epoch under way; returns its metrics."""
        training, plan, progress = self.training, self.plan, self.progress
        epoch, steps = progress.epochs_done, training.source.steps_per_epoch
        if progress.steps_done and progress.steps_per_epoch != steps:  # other workers, other batches: as far in images
            done = round(progress.steps_done * steps / progress.steps_per_epoch)
            progress.loss_sum *= done / progress.steps_done
            progress.steps_done = done
        progress.steps_per_epoch = steps
        passes = self._passes()
        pace, recent, signals = Pace(self.context.world_size), Pace(self.context.world_size), Signals(self.context)
        for batch in recent.timed(pace.timed(self._batches(epoch))):
            generator = seed_step(plan.seed, epoch=epoch, step=progress.steps_done, rank=self.context.rank)
            self._set_learning_rate()
            training.optimizer.zero_grad(set_to_none=True)
            loss = backward(training.step, batch.to(self.context.device), generator, passes)
            norm = nn.utils.clip_grad_norm_(training.network.parameters(), plan.gradient_clip or math.inf)
            training.optimizer.step()
            if self.average:
                self.average.follow()
            word = signals.exchange(progress.steps_done, loss, norm, self._wish())
            progress.steps_done += 1
            training.step.advance(self._share_done())
            if word is None:
                continue
            self._take_in(word)
            if word.wish > Wish.GO_ON and progress.steps_done < steps:
                self._save_within(signals)
            if self.context.rank == 0 and recent.seconds >= _TELL_EVERY_S:
                self.context.tell(self._figures_now(word, recent))
                recent.restart()
        self._take_in(signals.rest())
        if progress.steps_done < _MIN_SHARE_OF_STEPS * steps:
            raise RuntimeError(f"epoch {epoch}: {progress.steps_done} batches came, {steps} were due")
        return {
            "epoch": float(epoch),
            "loss": progress.loss_sum / max(progress.steps_done, 1),
            "seconds": pace.seconds,
            **pace.figures(),
        }

    def keep_if_best(self, metrics: Mapping[str, float]) -> None:
        """Copy the weights of the epoch just done if it is the best so far."""
        name, best = self.plan.keep_best or "", self.progress.best_value
        value = metrics.get(name, math.nan)
        if math.isfinite(value) and (best is None or value > best):
            self.progress.best_epoch, self.progress.best_value = self.progress.epochs_done - 1, value
            self.best = weights_copy(self.training.network)

    def state(self) -> SaveState:
        """What writes the state as it is now; only rank 0's is ever called."""
        if self.context.rank:
            return lambda _folder: None
        snapshot = take_snapshot(
            network=self.training.network,
            optimizer=self.training.optimizer,
            progress=self.progress,
            best_weights=self.best,
            settings_digest=self.plan.settings_digest,
            average=self.average,
        )
        return snapshot.write

    def saved(self) -> None:
        """Note that the state as it is now is on disk, or on its way there."""
        self._saved = f"step {self.progress.steps_done} of epoch {self.progress.epochs_done}"
        self._saved_at = time.monotonic()

    def stopped(self) -> StoppedError:
        """What to raise when a worker has been told to stop and the state is saved."""
        return StoppedError(f"told to stop: the state at {self._saved} is saved")

    def _save_within(self, signals: Signals) -> None:
        self._take_in(signals.rest())  # nothing is saved before its loss is known to be sound
        share_statistics(self.training.network, self.average, self.context.world_size)
        step = self.progress.epochs_done * self.progress.steps_per_epoch + self.progress.steps_done
        self.context.keep(step, self.state())
        self.saved()
        if self.is_told_to_stop:
            raise self.stopped()

    def _batches(self, epoch: int) -> Iterator[Batch]:
        batches = iter(self.training.source.epoch(epoch, self.progress.steps_done))
        return prefetched(batches, pin=True) if self.context.device.type == "cuda" else batches

    def _passes(self) -> Passes:
        autocast = functools.partial(
            torch.autocast, self.context.device.type, torch.bfloat16, enabled=self.plan.precision == "bf16"
        )
        return Passes(self.training.network, autocast, self.training.no_sync, self.plan.images_at_once)

    def _wish(self) -> Wish:
        wish, plan = self.context.wish(), self.plan
        by_steps = plan.save_every_steps is not None and (self.progress.steps_done + 1) % plan.save_every_steps == 0
        seconds = time.monotonic() - self._saved_at if self.context.rank == 0 else -math.inf
        by_time = plan.save_every_s is not None and seconds >= plan.save_every_s
        return max(wish, Wish.SAVE) if by_steps or by_time else wish

    def _share_done(self) -> float:
        # A stream may give more batches than were due: it counts photographs that it cannot read as lost.
        of_epoch = min(self.progress.steps_done / self.progress.steps_per_epoch, 1.0)
        return (self.progress.epochs_done + of_epoch) / self.plan.epochs

    def _set_learning_rate(self) -> None:
        steps, plan = self.progress.steps_per_epoch, self.plan
        total = steps * plan.epochs
        step = min(steps * self.progress.epochs_done + self.progress.steps_done, total)
        factor = warmup_cosine(step, total=total, warmup=round(plan.warmup_fraction * total))
        for group in self.training.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor

    def _take_in(self, word: Word | None) -> None:
        if word is None:
            return
        if word.fault is not None:
            rank, fault = word.fault
            intact = "none was saved" if self._saved is None else f"{self._saved} is intact"
            raise FloatingPointError(
                f"the {fault} at epoch {self.progress.epochs_done}, step {word.step}, rank {rank}: "
                f"lower optim.learning_rate or set optim.gradient_clip; of the saved states {intact}"
            )
        self.progress.loss_sum += word.loss
        self.is_told_to_stop |= word.wish == Wish.STOP

    def _figures_now(self, word: Word, recent: Pace) -> dict[str, float]:
        progress = self.progress
        left = progress.steps_per_epoch * (self.plan.epochs - progress.epochs_done) - progress.steps_done
        return {
            "epoch": float(progress.epochs_done),
            "step": float(progress.steps_done),
            "steps_per_epoch": float(progress.steps_per_epoch),
            "loss": word.loss,
            **recent.figures(),
            "eta_s": recent.seconds_for(left),
            "workers": float(self.context.world_size),
        }
