"""How many images a second pretraining gets through on one device, measured with the training loop itself."""

import contextlib
import itertools
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch

from raydr.build import build_method, build_optimizer
from raydr.config.stages import PretrainStage
from raydr.engine.batch import UNLABELLED, Batch
from raydr.engine.context import Context, SaveState
from raydr.engine.fit import FitPlan, Training, fit
from raydr.engine.wish import Wish
from raydr.images.augment import augmentation

_WARM_UP: Final = 1  # the first step fills the allocator
_LEAST: Final = 2  # steps that count, however long they take


@dataclass(frozen=True, slots=True)
class TimedBatches:
    """The same random images again and again for some seconds; notes when each batch is asked for."""

    batch: Batch
    seconds: float
    asked_at: list[float] = field(default_factory=list)
    steps_per_epoch: int = 1

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:  # noqa: ARG002
        """Batches until the time is up."""
        while True:
            self.asked_at.append(time.perf_counter())
            counted = self.asked_at[_WARM_UP:]
            if len(counted) > _LEAST and counted[-1] - counted[0] >= self.seconds:
                return
            yield self.batch


@dataclass(frozen=True, slots=True)
class AloneContext:
    """A single process that keeps nothing."""

    device: torch.device
    rank: int = 0
    world_size: int = 1

    def wish(self) -> Wish:
        """Nothing."""
        return Wish.GO_ON

    def tell(self, figures: Mapping[str, float]) -> None:
        """Let them go."""

    def report(self, metrics: Mapping[str, float], save_state: SaveState) -> None:
        """Let them go."""

    def keep(self, step: int, save_state: SaveState) -> None:
        """Keep nothing."""

    def states(self) -> Iterator[contextlib.AbstractContextManager[Path]]:
        """None."""
        return iter(())


def measure_step_rate(
    settings: PretrainStage, *, side_px: int, num_images: int, device: torch.device, seconds: float
) -> float:
    """Images a second of whole training steps: to the device, two views, forward, backward, optimiser.

    The median step counts. Averaging gradients between devices is not in it.

    Args:
        settings: Backbone, method, augmentation, optimiser and precision; the weights it starts from do not matter.
        side_px: Side of the images, which are random.
        num_images: Images a step on this device, at least 2.
        device: Where to train.
        seconds: About how long; two steps at least.
    """
    torch.manual_seed(0)
    image = torch.randint(0, 256, (num_images, 3, side_px, side_px), dtype=torch.uint8)
    source = TimedBatches(Batch(image, torch.arange(num_images), torch.full((num_images,), UNLABELLED)), seconds)
    context: Context = AloneContext(device)
    model = settings.model.model_copy(update={"weights": "none"})
    method = build_method(
        model, settings.method, augmentation(settings.augment, side_px=settings.view_side_px), context
    )
    training = Training(
        network=method.network,
        optimizer=build_optimizer(settings.optim, method.network),
        step=method.step,
        source=source,
    )
    optim = settings.optim
    plan = FitPlan(
        epochs=1,
        warmup_fraction=0.0,
        gradient_clip=optim.gradient_clip,
        precision=optim.precision,
        seed=0,
        settings_digest="",
        images_at_once=optim.images_at_once,
    )
    fit(training, plan, context, validate=lambda _epoch: {})
    # fit waits for every step's loss, so from one request to the next is one step.
    asked = source.asked_at[_WARM_UP:]
    return num_images / statistics.median(later - earlier for earlier, later in itertools.pairwise(asked))
