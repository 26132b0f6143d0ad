"""What both ranks do in the tests of how workers agree: a training in which one rank alone has something to say."""

import dataclasses
from pathlib import Path

import torch
from torch import nn

from raydr.engine.batch import Batch, Pool
from raydr.engine.context import LocalContext
from raydr.engine.fit import FitPlan, StoppedError, Training, fit
from raydr.engine.parallel import distributed, no_sync
from raydr.engine.sources import ShuffledPool
from raydr.engine.steps.classify import ClassifyStep
from raydr.engine.wish import Wish

PLAN = FitPlan(
    epochs=3, warmup_fraction=0.0, gradient_clip=None, precision="fp32", seed=0, settings_digest="d", keep_best=None
)
STEPS, BATCH = 6, 2
"""An epoch, and a rank's images a step."""


@dataclasses.dataclass(slots=True)
class Wishing(LocalContext):
    """A worker that is told something once."""

    told: dict[int, Wish] = dataclasses.field(default_factory=dict)
    """By how many times it has been asked before."""
    asked: int = 0
    kept: list[int] = dataclasses.field(default_factory=list)
    """Steps at which it was made to save."""

    def wish(self) -> Wish:
        self.asked += 1
        return self.told.get(self.asked - 1, Wish.GO_ON)

    def keep(self, step, save_state):
        self.kept.append(step)
        LocalContext.keep(self, step, save_state)


class Broken(ClassifyStep):
    """Its loss is no number on the images of the last rows."""

    def loss(self, outputs, batch: Batch):
        found = super().loss(outputs, batch)
        return found * float("nan") if (batch.row == BROKEN_ROW).any() else found


BROKEN_ROW = 7


def batches(rank: int) -> ShuffledPool:
    """A rank's part of the images."""
    count = STEPS * BATCH * 2
    draw = torch.Generator().manual_seed(0)
    image = torch.randint(0, 255, (count, 3, 2, 2), dtype=torch.uint8, generator=draw)
    pool = Pool(image.numpy(), torch.arange(count).numpy(), (torch.arange(count) % 5).numpy())
    return ShuffledPool(pool, BATCH, seed=0, rank=rank, world_size=2)


def train_on_a_rank(rank: int, folder: str, told: dict[int, dict[int, Wish]], is_broken: bool) -> dict[str, object]:
    """What a rank saw of a training of both; ``told`` by rank."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    context = Wishing(Path(folder), rank, 2, told=told.get(rank, {}))
    replica = distributed(network, context)
    kind = Broken if is_broken else ClassifyStep
    training = Training(
        network,
        torch.optim.SGD([{"params": network.parameters(), "peak_lr": 0.01}], lr=0.01),
        kind(replica, lambda batch, _: batch.float() / 255, None),
        batches(rank),
        no_sync(replica),
    )
    error = None
    try:
        fit(training, PLAN, context, lambda _: {})
    except (StoppedError, FloatingPointError) as raised:
        error = f"{type(raised).__name__}: {raised}"
    return {"error": error, "kept": context.kept, "epochs": len(context.history)}


def rank_of_the_broken_row() -> tuple[int, int]:
    """Which rank sees it, at which step of the first epoch."""
    return next(
        (rank, step)
        for rank in range(2)
        for step, batch in enumerate(batches(rank).epoch(0))
        if (batch.row == BROKEN_ROW).any()
    )
