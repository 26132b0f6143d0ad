"""The training loop, one for every method: epochs of steps, a schedule, validation, state, resumption."""

import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from raydr.engine.collectives import mean_over_workers, share_buffers
from raydr.engine.context import Context
from raydr.engine.sources import BatchSource
from raydr.engine.state import Progress, load_state, save_state, weights_copy
from raydr.engine.steps import Step
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


@dataclass(frozen=True, slots=True)
class Training:
    """What is trained: the bare network whose weights are saved, its optimiser, its step, its batches."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    step: Step
    source: BatchSource


_MIN_SHARE_OF_STEPS = 0.9  # a stream drops unreadable photographs; one that lost more is broken

Validate = Callable[[int], Mapping[str, float]]
"""Metrics after epoch number n (from 0); the same on every worker."""


def seed_epoch(seed: int, epoch: int, rank: int) -> torch.Generator:
    """A generator for this rank's views in this epoch; dropout's global one is seeded alike.

    Nothing random outlives an epoch, so a training resumed at an epoch's start repeats the uninterrupted one. It lives
    on the CPU: the same parameters on every device, and no waiting for a GPU.
    """
    number = int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1, np.uint64)[0] >> 1)
    torch.manual_seed(number)
    return torch.Generator().manual_seed(number)


def fit(training: Training, plan: FitPlan, context: Context, validate: Validate) -> Progress:
    """Train to the end of the plan, from the newest reported state if there is one, and leave the kept weights in.

    Raises:
        FloatingPointError: The loss is not finite; names epoch, step and rank.
        StateError: The state to resume from is torn or of other settings.
    """
    progress, best = Progress(), None
    with context.resume() as folder:
        if folder is not None:
            progress, best = load_state(
                folder,
                network=training.network,
                optimizer=training.optimizer,
                settings_digest=plan.settings_digest,
            )
    for epoch in range(progress.epochs_done, plan.epochs):
        started = time.perf_counter()
        training.network.train()
        loss = _train_epoch(training, plan, context, epoch)
        seconds = time.perf_counter() - started
        share_buffers(training.network, context.world_size)
        training.network.eval()
        metrics = {
            "epoch": float(epoch),
            "loss": mean_over_workers(loss, context.world_size, context.device),
            "seconds": seconds,
            **validate(epoch),
        }
        progress.epochs_done = epoch + 1
        progress.history.append(metrics)
        if _is_better(metrics, plan, progress):
            progress.best_epoch, progress.best_value = epoch, metrics[plan.keep_best or ""]
            best = weights_copy(training.network)
        save = functools.partial(
            save_state,
            network=training.network,
            optimizer=training.optimizer,
            progress=progress,
            best_weights=best,
            settings_digest=plan.settings_digest,
        )
        context.report(metrics, save)
    if best is not None:
        training.network.load_state_dict(best)
    training.network.eval()
    return progress


def _is_better(metrics: Mapping[str, float], plan: FitPlan, progress: Progress) -> bool:
    value = metrics.get(plan.keep_best or "", math.nan)
    return math.isfinite(value) and (progress.best_value is None or value > progress.best_value)


def _train_epoch(training: Training, plan: FitPlan, context: Context, epoch: int) -> float:
    """One epoch; returns this worker's mean loss."""
    generator = seed_epoch(plan.seed, epoch, context.rank)
    total = training.source.steps_per_epoch * plan.epochs
    first_step = training.source.steps_per_epoch * epoch
    losses = []
    for number, batch in enumerate(training.source.epoch(epoch)):
        factor = warmup_cosine(first_step + number, total=total, warmup=round(plan.warmup_fraction * total))
        for group in training.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor
        with torch.autocast(context.device.type, torch.bfloat16, enabled=plan.precision == "bf16"):
            loss = training.step(batch.to(context.device), generator)
        losses.append(_checked(loss, epoch, number, context.rank))
        training.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if plan.gradient_clip is not None:
            nn.utils.clip_grad_norm_(training.network.parameters(), plan.gradient_clip)
        training.optimizer.step()
    if len(losses) < _MIN_SHARE_OF_STEPS * training.source.steps_per_epoch:
        raise RuntimeError(f"epoch {epoch}: {len(losses)} batches came, {training.source.steps_per_epoch} were due")
    return float(np.mean(losses))


def _checked(loss: Tensor, epoch: int, number: int, rank: int) -> float:
    value = float(loss.detach())
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the loss is {value} at epoch {epoch}, step {number}, rank {rank}: lower optim.learning_rate or set "
            "optim.gradient_clip; the last reported state is intact"
        )
    return value
