"""One trial: a student trained inside its Tune process, reporting its validation AUC every epoch."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from raydr.config.override import with_overrides
from raydr.config.stages import DistillStage
from raydr.engine.batch import Pool
from raydr.engine.context import SaveState, Wish
from raydr.engine.sources import ShuffledPool, local_batch_size
from raydr.learning.assignment import Assignment
from raydr.learning.distil import DistilImages, Teaching, distil


@dataclass(frozen=True, slots=True)
class TrialImages:
    """What all trials share in the object store."""

    pool: Pool
    labelled: Pool
    validation: Pool


class TuneContext:
    """Ray Tune's implementation of the engine's Context; a trial keeps no state, a crashed one starts again."""

    rank = 0
    world_size = 1

    @property
    def device(self) -> torch.device:
        """The trial's GPU if it was given one."""
        return torch.device("cuda" if ray.get_gpu_ids() else "cpu")

    def report(self, metrics: Mapping[str, float], save_state: SaveState) -> None:  # noqa: ARG002
        """Hand the metrics to the scheduler, which may end the trial here."""
        tune.report(dict(metrics))

    def wish(self) -> Wish:
        """The scheduler ends a trial by its reports."""
        return Wish.GO_ON

    def tell(self, figures: Mapping[str, float]) -> None:
        """Trials are followed by their epochs."""

    def keep(self, step: int, save_state: SaveState) -> None:
        """Nothing is kept."""

    def states(self) -> Iterator[contextlib.AbstractContextManager[Path]]:
        """None."""
        return iter(())


def run_trial(
    sample: dict[str, Any],
    *,
    settings: dict[str, Any],
    images: TrialImages,
    teaching: Teaching,
    assignment: Assignment,
    num_threads: int,
) -> None:
    """Train one student with the sampled settings."""
    torch.set_num_threads(num_threads)
    stage = with_overrides(DistillStage.model_validate(settings), sample)
    source = ShuffledPool(
        images.pool, local_batch_size(len(images.pool), stage.optim.batch_size, 1), seed=assignment.seed
    )
    distil(stage, DistilImages(source, images.labelled, images.validation), teaching, assignment, TuneContext())
